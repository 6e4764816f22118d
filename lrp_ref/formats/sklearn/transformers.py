"""Transformers as layers: what scales, projects, chooses and joins features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import layers as L
from ...errors import FormatError
from ...layers.base import Layer
from .estimator_nodes import Graph, best_estimator, fitted_attribute, steps_of

#: Why a transformer is no layer, where its name alone does not say it.
_REASONS = {
    "QuantileTransformer": "it maps every feature by its quantiles, which is not affine",
    "PowerTransformer": "its powers are fitted for each feature, which is not affine",
    "KBinsDiscretizer": "it sorts numbers into bins",
    "OneHotEncoder": "it turns categories into columns: explain the estimator behind it, on encoded features",
    "OrdinalEncoder": "it turns categories into numbers: explain the estimator behind it, on encoded features",
}


def transform(graph: Graph, name: str, step: Any, source: str) -> str:
    """Add the nodes of a transformer; returns the name of the last.

    Parameters
    ----------
    graph : takes the nodes
    name : of the step
    step : the fitted transformer
    source : the node that it reads

    Raises
    ------
    FormatError
        Where it is of a kind that is not read.
    """
    kind = type(step).__name__
    if kind == "Pipeline":
        for inner, inner_step in steps_of(step):
            source = transform(graph, f"{name}.{inner}", inner_step, source)
        return source
    if kind == "ColumnTransformer":
        return _column_transformer(graph, name, step, source)
    if kind == "FeatureUnion":
        return _union(graph, name, step, source)
    if kind not in TRANSFORMERS:
        why = f": {_REASONS[kind]}" if kind in _REASONS else ""
        raise FormatError(f"scikit-learn's {kind} is not read in front of an estimator{why}; known: {', '.join(TRANSFORMERS)}")
    return graph.add(name, TRANSFORMERS[kind](step), source)


def _union(graph: Graph, name: str, step: Any, source: str) -> str:
    """A FeatureUnion: all features through each part, side by side."""
    ends = []
    for transformer_name, transformer in step.transformer_list:
        if not (isinstance(transformer, str) and transformer == "drop"):
            passed = isinstance(transformer, str)
            end = source if passed else transform(graph, f"{name}.{transformer_name}", best_estimator(transformer), source)
            ends.append(_weighted(graph, f"{name}.{transformer_name}", step, transformer_name, end))
    return concatenate(graph, name, ends)


def _weighted(graph: Graph, name: str, step: Any, transformer_name: str, source: str) -> str:
    """The features of a part times its weight, where the step has one for it."""
    weight = (step.transformer_weights or {}).get(transformer_name)
    return source if weight is None else graph.add(f"{name}.weight", L.Scale(float(weight)), source)


def _column_transformer(graph: Graph, name: str, step: Any, source: str) -> str:
    """A ColumnTransformer: the chosen columns of each part through its transformer, side by side."""
    ends = []
    for transformer_name, transformer, columns in fitted_attribute(step, "transformers_"):
        positions = _positions(step, columns)
        if len(positions) and not (isinstance(transformer, str) and transformer == "drop"):
            end = graph.add(f"{name}.{transformer_name}.columns", L.Gather(tuple(positions), 1), source)
            passed = isinstance(transformer, str)
            end = end if passed else transform(graph, f"{name}.{transformer_name}", best_estimator(transformer), end)
            ends.append(_weighted(graph, f"{name}.{transformer_name}", step, transformer_name, end))
    return concatenate(graph, name, ends)


def _positions(step: Any, columns: Any) -> list[int]:
    """Columns, given by number, name, slice or mask, as numbers."""
    names = [str(n) for n in getattr(step, "feature_names_in_", ())]
    count = int(fitted_attribute(step, "n_features_in_"))
    if isinstance(columns, slice):
        first = names.index(columns.start) if isinstance(columns.start, str) else columns.start
        last = names.index(columns.stop) + 1 if isinstance(columns.stop, str) else columns.stop  # a name is included
        return list(range(count)[first : last : columns.step])
    array = np.atleast_1d(np.asarray(columns))
    if array.dtype == bool:
        return [int(i) for i in np.flatnonzero(array)]
    return [names.index(str(c)) if isinstance(c, str) else range(count)[int(c)] for c in array.tolist()]


def concatenate(graph: Graph, name: str, ends: list[str]) -> str:
    """Put the outputs of several nodes side by side; returns the name of the node that does.

    Parameters
    ----------
    ends : the nodes; of one alone nothing is added

    Raises
    ------
    FormatError
        Where there is none.
    """
    if not ends:
        raise FormatError(f"{name!r} leaves no features")
    return ends[0] if len(ends) == 1 else graph.add(name, L.Concat(len(ends)), *ends)


def _scaler(centre: str, scale: str, with_centre: str, with_scale: str) -> Callable[[Any], Layer]:
    """(x − centre)/scale, by the names of the fitted attributes and of the switches that leave them out."""

    def layer(step: Any) -> Layer:
        count = int(fitted_attribute(step, "n_features_in_"))
        divisor = np.asarray(fitted_attribute(step, scale)) if getattr(step, with_scale) else np.ones(count)
        mean = np.asarray(fitted_attribute(step, centre)) if getattr(step, with_centre) else np.zeros(count)
        return L.Scale(1 / divisor, -mean / divisor)

    return layer


def _min_max(step: Any) -> Layer:
    if step.clip:
        raise FormatError("MinMaxScaler(clip=True) is not affine; clip=False is read")
    return L.Scale(fitted_attribute(step, "scale_"), fitted_attribute(step, "min_"))


def _principal(step: Any) -> Layer:
    components, mean = fitted_attribute(step, "components_"), np.asarray(step.mean_)
    weight = components.T / np.sqrt(step.explained_variance_) if step.whiten else components.T
    return L.Dense(weight, -(mean @ weight))


def _discriminant(step: Any) -> Layer:
    """LinearDiscriminantAnalysis as a transformer: (x − x̄) times the scalings of the largest components."""
    scalings = fitted_attribute(step, "scalings_")
    most = min(len(step.classes_) - 1, scalings.shape[0])
    weight = scalings[:, : most if step.n_components is None else step.n_components]
    centre = getattr(step, "xbar_", None)
    return L.Dense(weight, None if centre is None else -(np.asarray(centre) @ weight))


def _imputer(step: Any) -> Layer:
    """Nothing: a model's inputs have no missing values, and a NaN is refused by name."""
    statistics = np.asarray(fitted_attribute(step, "statistics_"))
    if step.add_indicator or statistics.dtype.kind != "f" or np.isnan(statistics).any():
        raise FormatError("SimpleImputer is supported only where it keeps every column and adds none")
    return L.Identity()


def _function(step: Any) -> Layer:
    """The identity that a fitted ColumnTransformer holds for "passthrough"."""
    if step.func is not None:
        raise FormatError("scikit-learn's FunctionTransformer is not read: its function is Python code")
    return L.Identity()


def _selection(step: Any) -> Layer:
    return L.Gather(tuple(int(i) for i in step.get_support(indices=True)), 1)


TRANSFORMERS: dict[str, Callable[[Any], Layer]] = {
    "StandardScaler": _scaler("mean_", "scale_", "with_mean", "with_std"),
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": lambda step: L.Scale(1 / fitted_attribute(step, "scale_")),
    "RobustScaler": _scaler("center_", "scale_", "with_centering", "with_scaling"),
    "PCA": _principal,
    "TruncatedSVD": lambda step: L.Dense(fitted_attribute(step, "components_").T),
    "LinearDiscriminantAnalysis": _discriminant,
    "SimpleImputer": _imputer,
    "FunctionTransformer": _function,
    "VarianceThreshold": _selection,
    "SelectKBest": _selection,
    "SelectPercentile": _selection,
    "SelectFromModel": _selection,
    "RFE": _selection,
    "RFECV": _selection,
}
