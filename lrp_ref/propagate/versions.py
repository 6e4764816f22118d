"""A model in another number type, or rewritten: made once, and forgotten with the model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from ..arrays import Array, Shape
from ..errors import unknown
from ..network.canonize import canonize
from ..network.model import Model
from .plan import BACKENDS, absent

PRECISIONS = {"float64": np.float64, "float32": np.float32, "fast": np.float32, "exact": object}


def check_computing(backend: Any, precision: Any) -> None:
    """Refuse a backend or a precision that there is not; None is the usual one."""
    if backend is not None and backend not in BACKENDS:
        raise absent(backend)
    if precision is not None and precision not in tuple(PRECISIONS):
        raise unknown("precision", precision, PRECISIONS)


def backend_for(model: Model, backend: str | None) -> str:
    """What computes `model`: rationals are the reference's alone."""
    return "reference" if model.dtype == object else backend or BACKENDS[-1]


def cast(model: Model, precision: str | None) -> Model:
    """The model in the one number type of a precision; None: its own."""
    dtype = np.dtype(model.dtype if precision is None else PRECISIONS[precision])
    if dtype == model.dtype and all(a.dtype == dtype for node in model.nodes for a in node.layer.parameters.values()):
        return model
    return version(model, ("precision", dtype), lambda: model.astype(dtype))


def canonized(model: Model, shapes: Mapping[str, Shape]) -> Model:
    """The canonised model, for samples of these shapes, by input, where they are known."""
    # A predictor rewrites a model without the nodes that no output depends on, and has the same memo.
    key = ("canonical", model.dtype, len(model.nodes), tuple(sorted(shapes.items())))
    return version(model, key, lambda: canonize(model, shapes))


def version(model: Model, key: Hashable, build: Callable[[], Model]) -> Model:
    """A model derived from `model`, cached in its memo and sharing it: `model.forget()` frees what is derived, too.

    Parameters
    ----------
    model : the source
    key : what is derived from it, and how
    build : derives it
    """

    def sized() -> tuple[Model, int]:
        derived = build().remembering_with(model)
        shared = {id(node.layer) for node in model.nodes}
        new = [node.layer for node in derived.nodes if id(node.layer) not in shared]
        return derived, sum(a.nbytes for layer in new for a in layer.parameters.values())

    return model.remember(key, sized)


def sample_shapes(arrays: Mapping[str, Array]) -> dict[str, Shape]:
    """The shape of one sample of each input."""
    return {name: array.shape[1:] for name, array in arrays.items()}
