"""Layer-wise Relevance Propagation: the reference implementation.

>>> import lrp_ref
>>> from lrp_ref import layers as L
>>> model = lrp_ref.Model.sequential([L.Dense([[1.0, -1.0], [2.0, 1.0]]), L.ReLU(), L.Dense([[1.0], [1.0]])])
>>> lrp_ref.explain(model, [[1.0, 2.0]]).relevance.round(3)
array([[0., 6.]])

Importing the package brings networks: layers and models. What explains, reads and draws them is imported when it is first
asked for, so that a program that only predicts, or only prints its help, does not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import errors, layers
from .canonize import canonize
from .held import adopt
from .model import Domain, Model, Node

if TYPE_CHECKING:
    from . import composites, heads, rules
    from .composites import Composite
    from .explainer import Explainer, explain
    from .explanation import Explanation
    from .formats import load, save
    from .ledger import Booking, Ledger
    from .plan import BACKENDS
    from .predictor import Predictor

__version__ = "0.2.0"

__all__ = [
    "BACKENDS",
    "Booking",
    "Composite",
    "Domain",
    "Explainer",
    "Explanation",
    "Ledger",
    "Model",
    "Node",
    "Predictor",
    "adopt",
    "canonize",
    "composites",
    "errors",
    "explain",
    "heads",
    "layers",
    "load",
    "rules",
    "save",
]

#: Where names are that are imported when they are asked for.
_LATER = {
    "composites": ("Composite",),
    "explainer": ("Explainer", "explain"),
    "explanation": ("Explanation",),
    "formats": ("load", "save"),
    "ledger": ("Booking", "Ledger"),
    "plan": ("BACKENDS",),
    "predictor": ("Predictor",),
}
#: Modules that are theirs, and that need no import of their own.
_ROOMS = frozenset({"composites", "deep_taylor", "formats", "heads", "oracle", "preprocess", "rules", "wrappers", "zoo", *_LATER})


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    for module, names in _LATER.items():
        if name in names:
            globals()[name] = found = getattr(import_module(f".{module}", __name__), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
