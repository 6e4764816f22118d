"""Hypothesis strategies: every layer with hyper-parameters, inputs and a relevance that fit.

Everything is drawn as float64 whose values float32 and `Fraction` hold exactly; `Case.astype` moves a case to another
number type without rounding.

    @given(cases(Conv, Dense))
    def test_something(case):
        exact = case.astype(object)
        exact.layer.forward(*exact.inputs)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lrp_ref import layers as L
from lrp_ref.arrays import Array, Shape
from support.array_strategies import (
    FLOAT_TYPES,
    LAYOUTS,
    NUMBER_TYPES,
    Numbers,
    any_dyadics,
    arrays,
    cast,
    dyadics,
    floats,
    laid_out,
    negatives,
    nonnegatives,
    nonzero,
    positives,
    zeros,
)
from support.layer_strategies import (
    ACTIVATIONS,
    DRAW,
    IRRATIONAL,
    KINDS,
    LINEAR,
    POOLS,
    RATIONAL,
    REARRANGEMENTS,
    SELECTING,
    Drawn,
    Geometry,
    geometries,
    spelled,
)

__all__ = [
    "ACTIVATIONS",
    "FLOAT_TYPES",
    "IRRATIONAL",
    "KINDS",
    "LAYOUTS",
    "LINEAR",
    "NUMBER_TYPES",
    "POOLS",
    "RATIONAL",
    "REARRANGEMENTS",
    "SELECTING",
    "Case",
    "Drawn",
    "Geometry",
    "Numbers",
    "any_dyadics",
    "arrays",
    "cases",
    "cast",
    "dyadics",
    "fewer",
    "floats",
    "geometries",
    "laid_out",
    "layers",
    "linear_cases",
    "linear_layers",
    "negatives",
    "nonnegatives",
    "nonzero",
    "pool_cases",
    "pool_layers",
    "positives",
    "spelled",
    "zeros",
]

#: For laws that are parametrised over every kind, or slow: a third of the profile's examples.
fewer = settings(max_examples=max(settings.default.max_examples // 3, 10))

# ---- cases -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Case:
    """A layer, inputs that fit it, and a relevance of its output's shape."""

    layer: L.Layer
    inputs: tuple[Array, ...]
    relevance: Array

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(a.shape for a in self.inputs)

    @property
    def batch(self) -> int:
        return int(self.inputs[0].shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.inputs[0].dtype

    def astype(self, dtype: Any) -> Case:
        """The same case in another number type (nothing is rounded where the numbers are dyadic)."""
        return Case(self.layer.astype(dtype), tuple(cast(a, dtype) for a in self.inputs), cast(self.relevance, dtype))

    def sample(self, n: int) -> Case:
        """The case with sample `n` as its whole batch."""
        return replace(self, inputs=tuple(a[n : n + 1] for a in self.inputs), relevance=self.relevance[n : n + 1])

    def __repr__(self) -> str:
        fields = {name: value.tolist() for name, value in self.layer.parameters.items()}
        inputs = ", ".join(f"{a.tolist()} {a.shape}" for a in self.inputs)
        return f"Case({self.layer!r}, parameters={fields}, inputs={inputs}, relevance={self.relevance.tolist()})"


@st.composite
def layers(
    draw: DrawFn,
    *kinds: type[L.Layer],
    numbers: Numbers | None = None,
    batch: SearchStrategy[int] | None = None,
) -> Drawn:
    """A layer of one of `kinds` (default: all) and the shapes of inputs that fit it.

    Parameters
    ----------
    numbers : its parameters' values; default: small dyadic rationals of any sign
    batch : the batch extent; default: 0 to 3
    """
    kind = draw(st.sampled_from(kinds or KINDS))
    chosen = draw(any_dyadics()) if numbers is None else numbers
    layer, samples = draw(DRAW[kind](chosen))
    n = draw(st.sampled_from([1, 2, 1, 3, 2, 0]) if batch is None else batch)
    return layer, tuple((n, *sample) for sample in samples)


@st.composite
def cases(
    draw: DrawFn,
    *kinds: type[L.Layer],
    numbers: Numbers | None = None,
    inputs: Numbers | None = None,
    relevance: Numbers | None = None,
    batch: SearchStrategy[int] | None = None,
) -> Case:
    """A layer of one of `kinds` (default: all) with inputs and a relevance.

    Parameters
    ----------
    numbers, inputs, relevance : values of the parameters, of the inputs and of the relevance; default: dyadic
        rationals, of which some draws hold one sign only, and some nothing but zeros
    batch : the batch extent; default: 0 to 3
    """
    layer, shapes = draw(layers(*kinds, numbers=numbers, batch=batch))
    values = [draw(any_dyadics()) if inputs is None else inputs for _ in shapes]
    x = tuple(draw(arrays(shape, kind)) for shape, kind in zip(shapes, values, strict=True))
    upper = draw(arrays(layer.shape(*shapes), dyadics() if relevance is None else relevance))
    return Case(layer, x, upper)


def linear_layers(**options: Any) -> SearchStrategy[Drawn]:
    """`layers` of every kind that is a pair of maps."""
    return layers(*LINEAR, **options)


def linear_cases(**options: Any) -> SearchStrategy[Case]:
    """`cases` of every kind that is a pair of maps."""
    return cases(*LINEAR, **options)


def pool_layers(**options: Any) -> SearchStrategy[Drawn]:
    """`layers` of every kind of pooling."""
    return layers(*POOLS, **options)


def pool_cases(**options: Any) -> SearchStrategy[Case]:
    """`cases` of every kind of pooling."""
    return cases(*POOLS, **options)
