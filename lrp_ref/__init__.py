"""Layer-wise Relevance Propagation: the reference implementation.

>>> import lrp_ref
>>> from lrp_ref import layers as L
>>> model = lrp_ref.Model.sequential([L.Dense([[1.0, -1.0], [2.0, 1.0]]), L.ReLU(), L.Dense([[1.0], [1.0]])])
>>> lrp_ref.explain(model, [[1.0, 2.0]]).relevance.round(3)
array([[0., 6.]])
"""

from . import composites, errors, heads, layers, rules
from .canonize import canonize
from .composites import Composite
from .explainer import Explainer, explain
from .explanation import Explanation
from .formats import load, save
from .ledger import Booking, Ledger
from .model import Domain, Model, Node
from .plan import BACKENDS

__version__ = "0.1.0"

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
