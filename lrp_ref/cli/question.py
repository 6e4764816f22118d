"""Which outputs are explained: what was typed, and what it means for one sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ParameterError, TargetError
from ..network.model import Model
from ..propagate.targets import spelled
from . import parsing


@dataclass(frozen=True)
class TypedQuestion:
    """The options that say what is explained, as they are typed.

    Attributes
    ----------
    target, targets, top, contrast : the values of these options, None where nothing is typed
    pair : whether the picture compares the target and another output
    """

    target: str | None
    targets: str | None
    top: int | None
    contrast: str | None
    pair: bool

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises
        ------
        ParameterError
            Where they do.
        """
        others = self.target is not None or self.contrast is not None or self.pair
        if self.top is not None and (others or self.targets is not None):
            raise ParameterError(
                "--top explains the best outputs: give it without --target, --targets, --contrast and --style contrast"
            )
        if self.targets is not None and others:
            raise ParameterError("--targets explains several outputs: give it without --target, --contrast and --style contrast")
        if self.pair and self.target == "all":
            raise ParameterError("--style contrast compares two outputs: give it without --target all")


@dataclass(frozen=True)
class Question:
    """What is explained of every sample.

    Attributes
    ----------
    target : as `Explainer` takes it
    targets : several outputs instead, each an index, or one on every axis
    top : how many of the best outputs instead
    contrast : the output whose score is taken away
    pair : whether the target and the other one are explained side by side, to be drawn with their difference
    output : which of several outputs of the network
    """

    target: Any = "predicted"
    targets: tuple[int | tuple[int, ...], ...] = ()
    top: int | None = None
    contrast: Any = None
    pair: bool = False
    output: str | None = None

    @classmethod
    def asked(cls, typed: TypedQuestion, labels: Sequence[str] | None, output: str | None) -> Question:
        """The question that options ask.

        Parameters
        ----------
        typed : the texts of the options
        labels : the names of the classes; None: they have none
        output : which of several outputs of the network

        Raises
        ------
        ParameterError
            Where they contradict each other.
        UnknownNameError
            Where no class has a name that is typed.
        """
        typed.check()
        target = "predicted" if typed.target is None else parsing.target_of(typed.target, labels)
        targets = () if typed.targets is None else parsing.outputs_of(typed.targets, labels)
        contrast = None if typed.contrast is None else parsing.output_of(typed.contrast, labels, "--contrast is")
        return cls(target, targets, typed.top, contrast, typed.pair, output)

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
        if self.targets:
            shape = self._scores(model, arrays).shape
            return {"targets": self._spelled(np.array([_place_of(index, shape) for index in self.targets]), model, arrays)}
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
        shape = self._scores(model, arrays).shape
        first = int(ranked[0]) if self.target == "predicted" else _place_of(self.target, shape)
        other = next(int(k) for k in ranked if k != first) if self.contrast is None else _place_of(self.contrast, shape)
        if first == other:
            raise TargetError("a target cannot be contrasted with itself")
        return first, other


def _place_of(index: int | tuple[int, ...], shape: tuple[int, ...]) -> int:
    """The flat index of an output that is an index, or one on every axis."""
    try:
        flat = int(np.ravel_multi_index(index, shape)) if isinstance(index, tuple) else index
    except ValueError:
        flat = -1
    if not 0 <= flat < math.prod(shape):
        raise TargetError(f"target {index} is out of range of an output of shape {shape}")
    return flat
