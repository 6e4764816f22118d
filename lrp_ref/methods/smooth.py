"""SmoothGrad: the mean of a method over noisy copies of the input."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, check_number, integer, like, zeros
from ..errors import ParameterError, unknown
from ..forks import cached_property
from ..propagate.explanation import Explanation
from ..propagate.method import Method
from ..propagate.targets import spelled
from .base import Cost, ModelMethod
from .draws import check_seed, checked_keys, generator
from .gradients import Gradient
from .scoring import Progress

FORMS = ("mean", "squared")


@dataclass(frozen=True, eq=False)
class SmoothGrad(ModelMethod):
    r"""The mean of a method over noisy copies of the input (Smilkov et al. 2017; Samek et al. 2021, §14.3.4; `CONV-NOISE`).

    .. math:: R = \frac 1 N \sum_{n=1}^N g(x + \epsilon_n), \qquad \epsilon_n \sim \mathcal N(0, \sigma^2)

    All copies explain the same target; "predicted" is decided on the input as it is.

    Parameters
    ----------
    model : the network
    method : g, of the same model; None: `Gradient`, with this method's head, output and way of computing
    samples : N, how many copies
    noise : σ; with relative=True as a part of the range, max − min, of each sample's input
    relative : whether `noise` is such a part
    form : "mean", or "squared" for the mean of g² (Hooker et al. 2019)
    seed : an integer; draw n is the same for every sample of a batch (`CONV-SEED`)
    per_sample_keys : integers (N,): each sample has draws of its own
    progress : called after each copy with the numbers of copies done and of all
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    method: Method | None = None
    samples: int = 32
    noise: Any = 0.15
    _: KW_ONLY
    relative: bool = True
    form: str = "mean"
    seed: int = 0
    per_sample_keys: Any = None
    progress: Progress | None = None

    formula: ClassVar[str] = r"R = \frac 1 N \sum_n g(x + \epsilon_n), \epsilon_n \sim \mathcal N(0, \sigma^2)"
    needs: ClassVar[str] = "another method (a gradient, unless one is given)"
    passes: ClassVar[str] = "samples times those of the method"
    source: ClassVar[str] = "Smilkov et al. 2017; Samek et al. 2021, §14.3.4"

    def _check(self) -> None:
        integer(self.samples, "samples", 1)
        check_number(self.noise, "noise", 0)
        check_seed(self.seed)
        if self.form not in FORMS:
            raise unknown("form", self.form, FORMS)
        if self.method is not None:
            self._check_method()
        _ = self._smoothed

    def _check_method(self) -> None:
        """Refuse what is no method, or one that would not be computed as this one says."""
        if not isinstance(self.method, Method):
            raise ParameterError(f"method is an Explainer or one of lrp_ref.methods, made for the model; found {self.method!r}")
        if self.method.model is not self.model:
            raise ParameterError("method explains another model: make it of the same one")
        given = [name for name in ("head", "output", "backend", "precision", "threads") if getattr(self, name) is not None]
        if given:
            raise ParameterError(f"{', '.join(given)} belong to the method that is given: give them there")

    @cached_property
    def _smoothed(self) -> Method:
        """The method whose mean is taken."""
        if self.method is not None:
            return self.method
        choices = {name: getattr(self, name) for name in ("head", "output", "backend", "precision", "threads", "memory")}
        return Gradient(self.model, **choices)

    @property
    def parameters(self) -> dict[str, Any]:
        inner = self._smoothed
        about = {"method": getattr(inner, "name", "LRP")} | {
            f"method.{k}": v for k, v in getattr(inner, "parameters", {}).items()
        }
        return about | {name: value for name, value in super().parameters.items() if name != "method"}

    def estimate(self) -> Cost:
        inner = getattr(self._smoothed, "estimate", lambda: Cost(1, 1))()
        return Cost(inner.forward * self.samples + 1, inner.backward * self.samples)

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        first = self._smoothed(x, target, targets=targets, contrast=contrast)
        if first.target is None:
            raise ParameterError("the method explains a given start, which noise has none of")
        asked = _same_question(first, contrast)
        keys = checked_keys(self.per_sample_keys, len(first.value))
        sums = {name: zeros(a.shape, a) for name, a in first.relevances.items()}
        for draw in range(self.samples):
            noisy = {name: self._noisy(a, draw, number, keys) for number, (name, a) in enumerate(first.activations.items())}
            e = self._smoothed(noisy, **asked)
            for name, total in sums.items():
                part = e.relevances[name]
                sums[name] = total + (part * part if self.form == "squared" else part)
            if self.progress is not None:
                self.progress(draw + 1, self.samples)
        relevances = {name: np.asarray(total / like(self.samples, total)) for name, total in sums.items()}
        return self._renamed(first, relevances=relevances, head=first.head, shared=None, ledger=None, doubt=None)

    def _noisy(self, x: Array, draw: int, number: int, keys: tuple[int, ...] | None) -> Array:
        """One noisy copy of an input, the number-th of the model's."""
        if keys is None:
            noise = np.broadcast_to(_normal(self.seed, draw, number, None, x.shape[1:]), x.shape)
        else:
            noise = np.stack([_normal(self.seed, draw, number, key, x.shape[1:]) for key in keys])
        return np.asarray(x + like(noise, x) * self._deviation(x))

    def _deviation(self, x: Array) -> Array:
        """σ for each sample, broadcastable."""
        sigma = like(self.noise, x)
        if not self.relative:
            return sigma
        rows = x.reshape(len(x), -1)
        spread = rows.max(axis=1) - rows.min(axis=1) if rows.size else zeros((len(x),), x)
        return np.asarray(sigma * spread.reshape(-1, *(1,) * (x.ndim - 1)))


def _normal(seed: int, draw: int, number: int, key: int | None, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers of one draw for an input; those of a model's later inputs follow on those of its first."""
    random = generator(seed, draw, key)
    for _ in range(number):
        random = np.random.Generator(random.bit_generator.jumped())  # type: ignore[attr-defined]
    return random.standard_normal(shape)


def _same_question(e: Explanation, contrast: Any) -> dict[str, Any]:
    """The targets of an explanation as arguments, so that another input is asked the same."""
    assert e.target is not None
    target = spelled(e.target, e.prediction.shape[1:])
    return {"targets": target} if e.several else {"target": target, "contrast": contrast}
