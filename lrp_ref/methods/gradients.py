"""The gradient, and what is made of one: sensitivity, gradient × input.

The derivative at a kink is that of `CONV-GRAD-KINK`: 0 for a ReLU at 0, and a maximum belongs to its first argument.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array
from ..explainer import Explainer
from ..forks import cached_property
from ..propagate.explanation import Explanation
from .base import Cost, ModelMethod


@dataclass(frozen=True, eq=False)
class GradientMethod(ModelMethod):
    """What needs one gradient.

    Parameters
    ----------
    model : the network; every layer has a derivative
    head : whose derivative: of a score, log-odds or a probability
    output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    needs: ClassVar[str] = "a derivative of every layer"
    passes: ClassVar[str] = "1 forward, 1 backward"

    @cached_property
    def _pass(self) -> Explainer:
        """The gradient's relevance pass."""
        return self._explainer()

    def _check(self) -> None:
        _ = self._pass

    def estimate(self) -> Cost:
        return Cost(1, 1)


@dataclass(frozen=True, eq=False)
class Gradient(GradientMethod):
    r"""The gradient of the explained number with respect to the input (Simonyan et al. 2014; Montavon et al. 2018, §4.1).

    .. math:: R_i = \frac{\partial f}{\partial x_i}

    Parameters
    ----------
    model : the network; every layer has a derivative
    keep : "input", "all", or the names of nodes at whose output the gradient is kept, too
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    _: KW_ONLY
    keep: Any = "input"

    formula: ClassVar[str] = r"R_i = \frac{\partial f}{\partial x_i}"
    source: ClassVar[str] = "Simonyan et al. 2014; Montavon et al. 2018, §4.1"

    @cached_property
    def _pass(self) -> Explainer:
        return self._explainer(keep=self.keep)

    @property
    def parameters(self) -> dict[str, Any]:
        return {}

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        return self._renamed(self._pass(x, target, targets=targets, contrast=contrast))


@dataclass(frozen=True, eq=False)
class GradientTimesInput(GradientMethod):
    r"""Gradient × input (Shrikumar et al. 2016; Montavon et al. 2018, §4.1).

    .. math:: R_i = x_i \frac{\partial f}{\partial x_i}

    The first-order term of an expansion at the root 0. In a network of ReLU and leaky ReLU layers whose maxima the winner takes
    it is LRP-0, off the kinks, and adds up to f where there are no biases.

    Parameters
    ----------
    model : the network; every layer has a derivative
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    formula: ClassVar[str] = r"R_i = x_i \frac{\partial f}{\partial x_i}"
    source: ClassVar[str] = "Shrikumar et al. 2016; Montavon et al. 2018, §4.1"

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        e = self._pass(x, target, targets=targets, contrast=contrast)
        return self._renamed(e, relevances={name: times_input(e, name) for name in e.inputs})


def times_input(e: Explanation, name: str) -> Array:
    """The relevance of an input times the input, in the shape of the relevance.

    Parameters
    ----------
    e : of a gradient, say
    name : of the input
    """
    x = e.activations[name]
    return np.asarray(e.relevances[name] * (x[:, None] if e.several else x))
