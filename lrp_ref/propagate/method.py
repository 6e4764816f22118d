"""What explains: anything that has a model and answers (x, target) with an `Explanation`."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from ..network.model import Model
from .explanation import Explanation


@runtime_checkable
class Method(Protocol):
    """Anything that explains: an `Explainer`, each class of `lrp_ref.methods`, or a user's own."""

    @property
    def model(self) -> Model:
        """The network that is explained."""

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        """Explain the prediction for a batch of inputs, as `Explainer.__call__` says."""
