"""Which outputs are explained: what was typed, and what it means for one sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ParameterError, TargetError
from ..network.model import Model
from ..propagate.targets import spelled
from . import parsing


@dataclass(frozen=True)
class Question:
    """What is explained of every sample.

    Attributes
    ----------
    target : as `Explainer` takes it
    top : how many of the best outputs instead
    contrast : the output whose score is taken away
    pair : whether the target and the other one are explained side by side, to be drawn with their difference
    output : which of several outputs of the network
    """

    target: Any = "predicted"
    top: int | None = None
    contrast: int | None = None
    pair: bool = False
    output: str | None = None

    @classmethod
    def asked(cls, target: str | None, top: int | None, contrast: int | None, pair: bool, output: str | None) -> Question:
        """The question that options ask.

        Parameters
        ----------
        target : the text of --target, None where nothing is typed
        top : how many of the best outputs
        contrast : the output whose score is taken away
        pair : whether the target and another output are compared
        output : which of several outputs of the network

        Raises
        ------
        ParameterError
            Where they contradict each other.
        """
        if top is not None and (target is not None or contrast is not None or pair):
            raise ParameterError("--top explains the best outputs: give it without --target, --contrast and --style contrast")
        if pair and target == "all":
            raise ParameterError("--style contrast compares two outputs: give it without --target all")
        return cls("predicted" if target is None else parsing.target_of(target), top, contrast, pair, output)

    def call(self, model: Model, arrays: dict[str, Array]) -> dict[str, Any]:
        """The arguments that an explainer is called with, for one sample.

        Parameters
        ----------
        model : the network
        arrays : the inputs by name, each (1, …)

        Raises
        ------
        TargetError
            Where there is no such output, none to compare with, or no best one.
        """
        if self.top is not None:
            return {"targets": self._spelled(self._ranked(model, arrays)[: self.top], model, arrays)}
        if self.pair:
            return {"targets": self._spelled(np.array(self._pair(model, arrays)), model, arrays)}
        return {"target": self.target} | ({} if self.contrast is None else {"contrast": self.contrast})

    def _scores(self, model: Model, arrays: dict[str, Array]) -> Array:
        output = model(arrays)
        scores: Array = output if self.output is None or len(model.outputs) == 1 else output[self.output]
        return np.asarray(scores[0])

    def _spelled(self, flat: Array, model: Model, arrays: dict[str, Array]) -> Array:
        """Flat indices as `targets` takes them for one sample."""
        return spelled(flat[None], self._scores(model, arrays).shape)

    def _ranked(self, model: Model, arrays: dict[str, Array]) -> Array:
        """All outputs as flat indices, the best first; the lowest of equal ones."""
        flat: Array = self._scores(model, arrays).reshape(-1).astype(np.float64)
        if not np.isfinite(flat).all():
            raise TargetError("the scores are not finite, so none of them is the best")
        return np.asarray(np.argsort(-flat, kind="stable"))

    def _pair(self, model: Model, arrays: dict[str, Array]) -> tuple[int, int]:
        """The target, and what it is compared with: `contrast`, else the best of the others."""
        ranked = self._ranked(model, arrays)
        if len(ranked) < 2:
            raise TargetError("a network of one output has no other class to compare with")
        first = int(ranked[0]) if self.target == "predicted" else self._flat(self._scores(model, arrays).shape)
        other = self.contrast if self.contrast is not None else next(int(k) for k in ranked if k != first)
        if first == other:
            raise TargetError("a target cannot be contrasted with itself")
        return first, other

    def _flat(self, shape: tuple[int, ...]) -> int:
        index = self.target if isinstance(self.target, tuple) else None
        try:
            return int(self.target) if index is None else int(np.ravel_multi_index(index, shape))
        except ValueError:
            raise TargetError(f"target {index} is out of range of an output of shape {shape}") from None
