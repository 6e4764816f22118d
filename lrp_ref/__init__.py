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
from .held import adopt
from .network.canonize import canonize
from .network.model import Domain, Model, Node

if TYPE_CHECKING:
    from . import composites, methods, rules
    from .composites import Composite
    from .explainer import Explainer, explain
    from .formats import load, save
    from .ledger import Booking, Ledger
    from .predictor import Predictor
    from .propagate import heads
    from .propagate.explanation import Explanation
    from .propagate.plan import BACKENDS

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
    "methods",
    "rules",
    "save",
]

#: Where names are that are imported when they are asked for.
_LATER = {
    "composites": ("Composite",),
    "explainer": ("Explainer", "explain"),
    "propagate.explanation": ("Explanation",),
    "formats": ("load", "save"),
    "ledger": ("Booking", "Ledger"),
    "propagate.plan": ("BACKENDS",),
    "predictor": ("Predictor",),
}
#: Modules and packages that need no import of their own, and where they are.
_ROOMS = {
    name.rpartition(".")[2]: f".{name}"
    for name in (
        "composites",
        "deep_taylor",
        "explainer",
        "formats",
        "ledger",
        "methods",
        "network",
        "oracle",
        "preprocess",
        "propagate",
        "propagate.heads",
        "rules",
        "wrappers",
        "zoo",
    )
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(_ROOMS[name], __name__)
    for module, names in _LATER.items():
        if name in names:
            globals()[name] = found = getattr(import_module(f".{module}", __name__), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
