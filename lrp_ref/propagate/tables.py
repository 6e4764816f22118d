"""Explanations as the tables of other packages: pandas and xarray, imported when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ..arrays import Array, Shape, is_exact
from ..errors import GraphError, ParameterError, missing_extra
from .explanation import Explanation


def input_named(explanation: Explanation, name: str | None) -> str:
    """The name of the input, or of the node that was named.

    Parameters
    ----------
    explanation : of one input, or of several
    name : of an input or a kept node; None: the only input

    Raises
    ------
    GraphError
        Where there are several inputs and none is named.
    """
    if name is None and len(explanation.inputs) > 1:
        raise GraphError(f"name which input's relevance is meant: {', '.join(explanation.inputs)}")
    return explanation.inputs[0] if name is None else name


def columns_of(sample: Shape, names: Sequence[str]) -> list[Any]:
    """A name for each feature of a sample: its own, its number, or its place as a tuple.

    Parameters
    ----------
    sample : the shape of one sample
    names : those that are known; where they are not as many as there are features, they are not used
    """
    if len(names) == int(np.prod(sample, dtype=np.intp)):
        return list(names)
    return list(range(sample[0])) if len(sample) == 1 else list(np.ndindex(*sample))


def top_features(explanation: Explanation, count: int, sample: int, target: int) -> tuple[tuple[Any, Any], ...]:
    """The features with the largest |R|, as `Explanation.top` says.

    Parameters
    ----------
    explanation : of one input
    count, sample, target : as `Explanation.top` takes them

    Raises
    ------
    GraphError, ParameterError
        As `Explanation.top` raises them.
    """
    relevance, shape = explanation.at(input_named(explanation, None)), explanation.value.shape
    if not (0 <= sample < shape[0] and 0 <= target < (shape[1] if explanation.several else 1)):
        raise ParameterError(f"there is no sample {sample} with a target number {target} among values of {shape}")
    one = relevance[sample, target] if explanation.several else relevance[sample]
    flat, names = one.reshape(-1), columns_of(one.shape, explanation.feature_names)
    order = np.argsort(-np.abs(flat.astype(np.float64)), kind="stable")[:count]
    return tuple((names[i], flat[i]) for i in order)


def to_pandas(explanation: Explanation, name: str | None = None) -> Any:
    """The relevance as a `pandas.DataFrame`: a row for each sample (and target), a column for each feature.

    Parameters
    ----------
    explanation : what `explain` returned
    name : of an input or a kept node; None: the only input

    Raises
    ------
    MissingExtraError
        Where pandas is not installed.
    GraphError, UnknownNameError
        Where there are several inputs and none is named, or the node was not kept.
    """
    try:
        pandas = import_module("pandas")
    except ImportError:
        raise missing_extra("pandas", "pandas", "a DataFrame") from None
    name = input_named(explanation, name)
    relevance = explanation.at(name)
    lead = explanation.value.shape
    names = explanation.feature_names if name == explanation.inputs[0] else ()
    sample = relevance.shape[len(lead) :]
    columns = columns_of(sample, names)
    if len(sample) > 1 and len(names) != len(columns):
        columns = pandas.MultiIndex.from_tuples(columns, names=[f"axis {k + 1}" for k in range(len(sample))])
    samples = np.arange(lead[0])
    if explanation.several:
        targets = np.zeros(lead, np.intp) + np.arange(lead[1]) if explanation.target is None else explanation.target
        index = pandas.MultiIndex.from_arrays([samples.repeat(lead[1]), targets.reshape(-1)], names=["sample", "target"])
    else:
        index = pandas.Index(samples, name="sample")
    return pandas.DataFrame(relevance.reshape(-1, len(columns)), index=index, columns=columns)


def to_xarray(explanation: Explanation) -> Any:
    """An explanation as an `xarray.Dataset`: relevance/<name>, prediction, value and target, with axes that have names.

    Parameters
    ----------
    explanation : what `explain` returned

    Raises
    ------
    MissingExtraError
        Where xarray is not installed.
    """
    try:
        xarray = import_module("xarray")
    except ImportError:
        raise missing_extra("xarray", "xarray", "a Dataset") from None
    lead = ("sample", "target_number")[: explanation.value.ndim]

    def axes(array: Array, name: str, first: tuple[str, ...] = lead) -> tuple[tuple[str, ...], Array]:
        return (*first, *(f"{name} axis {k + 1}" for k in range(array.ndim - len(first)))), np.asarray(array)

    data = {f"relevance/{name}": axes(array, name) for name, array in explanation.relevances.items()}
    data |= {name: axes(array, name, ("sample",)) for name, array in explanation.activations.items()}
    data |= {
        "prediction": axes(explanation.prediction, "prediction", ("sample",)),
        "value": axes(explanation.value, "value"),
    }
    data |= {} if explanation.target is None else {"target": axes(explanation.target, "target")}
    names, only = explanation.feature_names, explanation.inputs[0]
    sample = explanation.relevances[only].shape[len(lead) :]
    coordinates = {f"{only} axis 1": list(names)} if sample == (len(names),) else {}
    facts = {name: getattr(explanation, name) for name in ("method", "composite", "head", "backend", "precision")}
    facts["number_type"] = "rational" if is_exact(explanation.value) else str(explanation.dtype)
    return xarray.Dataset(data, coords=coordinates, attrs=facts)
