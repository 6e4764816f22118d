"""The gradient, and what is made of one: sensitivity, gradient × input.

The derivative at a kink is that of `CONV-GRAD-KINK`: 0 for a ReLU at 0, and a maximum belongs to its first argument.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, total
from ..errors import ShapeError, unknown
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


FORMS = ("squared", "absolute", "signed")
CHANNELS = ("each", "max", "sum")


@dataclass(frozen=True, eq=False)
class Sensitivity(GradientMethod):
    r"""Sensitivity analysis: the squared gradient (Montavon et al. 2018, §4.1; `CONV-SENSITIVITY`).

    .. math:: R_i = \Big(\frac{\partial f}{\partial x_i}\Big)^2

    It says what would change the output most, not what made it: the squares add up to ‖∇f‖².

    Parameters
    ----------
    model : the network; every layer has a derivative
    form : "squared", "absolute", or "signed"
    channels : "each"; or the "max" or "sum" over axis 1 of the input, which is kept with one entry. Simonyan et al. (2014) take
        form="absolute", channels="max"
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    form: str = "squared"
    channels: str = "each"

    formula: ClassVar[str] = r"R_i = \left(\frac{\partial f}{\partial x_i}\right)^2"
    source: ClassVar[str] = "Simonyan et al. 2014; Montavon et al. 2018, §4.1"

    def _check(self) -> None:
        if self.form not in FORMS:
            raise unknown("form", self.form, FORMS)
        if self.channels not in CHANNELS:
            raise unknown("choice of channels", self.channels, CHANNELS)
        super()._check()

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        e = self._pass(x, target, targets=targets, contrast=contrast)
        return self._renamed(e, relevances={name: self._of(e, name) for name in e.inputs})

    def _of(self, e: Explanation, name: str) -> Array:
        gradient = e.relevances[name]
        found = {"squared": gradient * gradient, "absolute": abs(gradient), "signed": gradient}[self.form]
        axis = e.value.ndim
        if self.channels == "each":
            return found
        if found.ndim < axis + 2:
            raise ShapeError(
                f"input {name!r} of shape {e.activations[name].shape} has no channels: channels='each' takes it as it is"
            )
        return np.asarray(found.max(axis=axis, keepdims=True) if self.channels == "max" else total(found, (axis,), keepdims=True))
