"""Reading fitted scikit-learn estimators: linear models, perceptrons, and pipelines of them behind affine transformers.

Nothing of scikit-learn is imported: an estimator is read through its documented fitted attributes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import layers as L
from ...arrays import Array
from ...errors import FormatError
from ...layers.base import Layer
from ...network.model import Model
from .estimator_nodes import Graph, best_estimator, feature_count, fitted_attribute, steps_of
from .transformers import TRANSFORMERS, transform

_LINEAR = frozenset(
    [
        "LinearRegression",
        "Ridge",
        "RidgeCV",
        "RidgeClassifier",
        "RidgeClassifierCV",
        "Lasso",
        "LassoCV",
        "ElasticNet",
        "ElasticNetCV",
        "MultiTaskLasso",
        "MultiTaskElasticNet",
        "LogisticRegression",
        "LogisticRegressionCV",
        "SGDClassifier",
        "SGDRegressor",
        "Perceptron",
        "LinearSVC",
        "LinearSVR",
        "SVC",
        "SVR",
        "NuSVC",
        "NuSVR",
        "HuberRegressor",
        "BayesianRidge",
        "ARDRegression",
        "QuantileRegressor",
        "TheilSenRegressor",
        "OrthogonalMatchingPursuit",
        "Lars",
        "LassoLars",
        "LinearDiscriminantAnalysis",
    ]
)
_KERNELS = frozenset({"SVC", "SVR", "NuSVC", "NuSVR"})
_PARTIAL_LEAST_SQUARES = frozenset({"PLSRegression", "PLSCanonical", "CCA"})
_PERCEPTRONS = frozenset({"MLPClassifier", "MLPRegressor"})
_ACTIVATIONS: dict[str, type[Layer] | None] = {"identity": None, "relu": L.ReLU, "tanh": L.Tanh, "logistic": L.Sigmoid}
_PROBABLE = frozenset({"LogisticRegression", "LogisticRegressionCV", "MLPClassifier", "LinearDiscriminantAnalysis"})


def load(estimator: Any, *, probabilities: bool = False, domain: Any = None, dtype: Any = np.float64) -> Model:
    """A model that computes what the estimator's `decision_function` (or `predict`, of a regressor) computes.

    Parameters
    ----------
    estimator : a fitted MLPClassifier or MLPRegressor; a linear model (LogisticRegression, LinearDiscriminantAnalysis, LinearSVC,
        LinearSVR, SVC and SVR with a linear kernel, Ridge, Lasso, ElasticNet, Huber, LinearRegression, PLSRegression, SGD…,
        Perceptron); OneVsRestClassifier of these; a Pipeline of StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PCA,
        TruncatedSVD, LinearDiscriminantAnalysis, SimpleImputer, feature selections, ColumnTransformer and FeatureUnion in front
        of one; or a search (GridSearchCV, …) over these, whose best estimator is read
    probabilities : whether to end in the softmax or sigmoid that gives `predict_proba`; an explanation then needs a head
    domain : (low, high) of the features, for bounded rules
    dtype : float64 or float32

    Returns
    -------
    A model of inputs (N, features) and outputs (N, scores). Two classes of a linear model have one score, which is positive for
    the second class. The scores of OneVsRestClassifier are those of its estimators, in the order of its classes.

    Raises
    ------
    FormatError
        Where the estimator is not fitted, or is of a kind that is not read.
    """
    estimator = best_estimator(estimator)
    graph = Graph()
    end = "input"
    steps = steps_of(estimator)
    for name, step in steps[:-1]:
        end = transform(graph, name, step, end)
    name, last = steps[-1]
    kind = type(last).__name__
    if kind == "OneVsRestClassifier":
        end = _one_vs_rest(graph, name, last, end)
    elif kind in _LINEAR | _PARTIAL_LEAST_SQUARES | _PERCEPTRONS:
        end = _predict(graph, name, last, end)
    elif kind in TRANSFORMERS or kind in ("ColumnTransformer", "FeatureUnion"):
        end = transform(graph, name, last, end)
    else:
        known = ", ".join(sorted(_LINEAR | _PARTIAL_LEAST_SQUARES | _PERCEPTRONS | {"OneVsRestClassifier"}))
        raise FormatError(f"scikit-learn's {kind} is not read; known: {known}")
    if probabilities:
        end = graph.add("probabilities", _squash(last), end)
    features = feature_count(steps[0][1])
    return Model(tuple(graph.nodes), outputs=(end,), domain=domain, input_shape={"input": (features,)}).astype(dtype)


def _array(matrix: Any) -> Array:
    """An array from an array or a sparse matrix."""
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)


def _predict(graph: Graph, name: str, estimator: Any, source: str) -> str:
    """A linear model or a perceptron."""
    kind = type(estimator).__name__
    if kind in _PERCEPTRONS:
        prefix = "" if source == "input" or not any(node.name == "dense1" for node in graph.nodes) else f"{name}."
        for layer_name, layer in _perceptron(estimator):
            source = graph.add(prefix + layer_name, layer, source)
        return source
    return graph.add(name, _latent(estimator) if kind in _PARTIAL_LEAST_SQUARES else _linear(estimator), source)


def _linear(estimator: Any) -> Layer:
    """coef_ (scores, features) and intercept_ as a Dense layer."""
    kind = type(estimator).__name__
    if kind in _KERNELS and estimator.kernel != "linear":
        raise FormatError(f"{kind} is read with kernel='linear' only, found kernel={estimator.kernel!r}")
    weight = np.atleast_2d(_array(fitted_attribute(estimator, "coef_")))
    if kind in ("SVC", "NuSVC") and len(estimator.classes_) > 2:
        raise FormatError(
            f"{kind} decides between more than two classes by votes of pairs; use LinearSVC, whose scores are one linear map"
        )
    bias = np.broadcast_to(np.atleast_1d(_array(fitted_attribute(estimator, "intercept_"))), weight.shape[:1])
    return L.Dense(weight.T.astype(np.float64), bias.astype(np.float64))


def _latent(estimator: Any) -> Layer:
    """Partial least squares: coef_ (targets, features); the intercept is the prediction for features of 0."""
    weight = np.asarray(fitted_attribute(estimator, "coef_"))
    bias = np.asarray(estimator.predict(np.zeros((1, int(estimator.n_features_in_))))).reshape(-1)
    return L.Dense(weight.T.astype(np.float64), bias.astype(np.float64))


def _perceptron(estimator: Any) -> list[tuple[str, Layer]]:
    """The layers of an MLP, without the output's squashing function."""
    weights, biases = fitted_attribute(estimator, "coefs_"), fitted_attribute(estimator, "intercepts_")
    if estimator.out_activation_ not in ("identity", "softmax", "logistic"):
        raise FormatError(f"an output activation {estimator.out_activation_!r} (a loss other than the squared error) is not read")
    activation = _ACTIVATIONS[estimator.activation]
    layers: list[tuple[str, Layer]] = []
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True), start=1):
        layers.append((f"dense{i}", L.Dense(weight, bias)))
        if i < len(weights) and activation is not None:
            layers.append((f"{estimator.activation}{i}", activation()))
    return layers


def _one_vs_rest(graph: Graph, name: str, estimator: Any, source: str) -> str:
    """The scores of one estimator for each class, side by side; two classes have one estimator."""
    ends = []
    for number, each in enumerate(fitted_attribute(estimator, "estimators_"), start=1):
        end, steps = source, steps_of(best_estimator(each))
        for step_name, step in steps[:-1]:
            end = transform(graph, f"{name}.{number}.{step_name}", step, end)
        kind = type(steps[-1][1]).__name__
        if kind not in _LINEAR | {"MLPClassifier"}:
            raise FormatError(f"OneVsRestClassifier is read over linear models and MLPClassifier, found {kind}")
        ends.append(_predict(graph, f"{name}.{number}", steps[-1][1], end))
    return ends[0] if len(ends) == 1 else graph.add(name, L.Concat(len(ends)), *ends)


def _squash(estimator: Any) -> Layer:
    """The softmax or sigmoid that turns an estimator's scores into its probabilities."""
    kind = type(estimator).__name__
    if kind not in _PROBABLE:
        raise FormatError(f"{kind} has no probabilities that are a function of its scores; load it with probabilities=False")
    if kind == "MLPClassifier":
        return L.Softmax() if fitted_attribute(estimator, "out_activation_") == "softmax" else L.Sigmoid()
    return L.Sigmoid() if len(estimator.classes_) == 2 else L.Softmax()
