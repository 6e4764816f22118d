"""Reading fitted scikit-learn estimators: linear models, perceptrons, and pipelines of them behind affine transformers.

Nothing of scikit-learn is imported: an estimator is read through its documented fitted attributes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import layers as L
from ..arrays import Array
from ..errors import FormatError
from ..layers.base import Layer
from ..model import Model

_LINEAR = frozenset(
    {
        *("LinearRegression", "Ridge", "RidgeCV", "RidgeClassifier", "RidgeClassifierCV", "Lasso", "LassoCV", "ElasticNet"),
        *("ElasticNetCV", "LogisticRegression", "LogisticRegressionCV", "SGDClassifier", "SGDRegressor", "Perceptron"),
        *("LinearSVC", "LinearSVR", "SVC", "SVR"),
    }
)
_ACTIVATIONS: dict[str, type[Layer] | None] = {"identity": None, "relu": L.ReLU, "tanh": L.Tanh, "logistic": L.Sigmoid}
_TRANSFORMERS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "PCA")
_PROBABLE = frozenset({"LogisticRegression", "LogisticRegressionCV", "MLPClassifier"})


def load(estimator: Any, *, probabilities: bool = False, domain: Any = None, dtype: Any = np.float64) -> Model:
    """A model that computes what the estimator's `decision_function` (or `predict`, of a regressor) computes.

    Parameters
    ----------
    estimator : a fitted MLPClassifier or MLPRegressor; a linear model (LogisticRegression, LinearSVC, LinearSVR, SVC and SVR with
        a linear kernel, Ridge, Lasso, ElasticNet, LinearRegression, SGD…, Perceptron); or a Pipeline of StandardScaler,
        MinMaxScaler, MaxAbsScaler and PCA in front of one
    probabilities : whether to end in the softmax or sigmoid that gives `predict_proba`; an explanation then needs a head
    domain : (low, high) of the features, for bounded rules
    dtype : float64 or float32

    Returns
    -------
    A sequential model of inputs (N, features) and outputs (N, scores). Two classes of a linear model have one score, which is
    positive for the second class.

    Raises
    ------
    FormatError
        Where the estimator is not fitted, or is of a kind that is not read.
    """
    steps = _steps(estimator)
    found: list[tuple[str, Layer]] = []
    for name, step in steps[:-1]:
        found.append((name, _transformer(step)))
    name, last = steps[-1]
    kind = type(last).__name__
    if kind in ("MLPClassifier", "MLPRegressor"):
        found += _perceptron(last)
    elif kind in _LINEAR:
        found.append((name, _linear(last)))
    elif kind in _TRANSFORMERS:
        found.append((name, _transformer(last)))
    else:
        raise FormatError(f"scikit-learn's {kind} is not read; known: MLPClassifier, MLPRegressor, {', '.join(sorted(_LINEAR))}")
    if probabilities:
        found.append(("probabilities", _squash(last)))
    names, made = zip(*found, strict=True)
    features = int(_fitted(steps[0][1], "n_features_in_"))
    return Model.sequential(made, names, domain=domain, input_shape=(features,)).astype(dtype)


def _steps(estimator: Any) -> list[tuple[str, Any]]:
    """The (name, estimator) pairs of a pipeline, "passthrough" left out; of another estimator it alone."""
    if type(estimator).__name__ != "Pipeline":
        return [(type(estimator).__name__.lower(), estimator)]
    steps = [(name, step) for name, step in estimator.steps if step is not None and step != "passthrough"]
    flat = [pair for name, step in steps for pair in (_steps(step) if type(step).__name__ == "Pipeline" else [(name, step)])]
    if not flat:
        raise FormatError("the pipeline has no steps")
    return flat


def _fitted(estimator: Any, name: str) -> Any:
    value = getattr(estimator, name, None)
    if value is None:
        raise FormatError(f"this {type(estimator).__name__} has no {name}: fit it first")
    return value


def _dense(matrix: Any) -> Array:
    """An array from an array or a sparse matrix."""
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)


def _linear(estimator: Any) -> Layer:
    """coef_ (scores, features) and intercept_ as a Dense layer."""
    kind = type(estimator).__name__
    if kind in ("SVC", "SVR") and estimator.kernel != "linear":
        raise FormatError(f"{kind} is read with kernel='linear' only, found kernel={estimator.kernel!r}")
    weight = np.atleast_2d(_dense(_fitted(estimator, "coef_")))
    if kind == "SVC" and len(estimator.classes_) > 2:
        raise FormatError(
            "SVC decides between more than two classes by votes of pairs; use LinearSVC, whose scores are one linear map"
        )
    bias = np.broadcast_to(np.atleast_1d(_dense(_fitted(estimator, "intercept_"))), weight.shape[:1])
    return L.Dense(weight.T.astype(np.float64), bias.astype(np.float64))


def _perceptron(estimator: Any) -> list[tuple[str, Layer]]:
    """The layers of an MLP, without the output's squashing function."""
    weights, biases = _fitted(estimator, "coefs_"), _fitted(estimator, "intercepts_")
    if estimator.out_activation_ not in ("identity", "softmax", "logistic"):
        raise FormatError(f"an output activation {estimator.out_activation_!r} (a loss other than the squared error) is not read")
    activation = _ACTIVATIONS[estimator.activation]
    found: list[tuple[str, Layer]] = []
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True), start=1):
        found.append((f"dense{i}", L.Dense(weight, bias)))
        if i < len(weights) and activation is not None:
            found.append((f"{estimator.activation}{i}", activation()))
    return found


def _squash(estimator: Any) -> Layer:
    """What turns an estimator's scores into its probabilities."""
    kind = type(estimator).__name__
    if kind not in _PROBABLE:
        raise FormatError(f"{kind} has no probabilities that are a function of its scores; load it with probabilities=False")
    if kind == "MLPClassifier":
        return L.Softmax() if _fitted(estimator, "out_activation_") == "softmax" else L.Sigmoid()
    return L.Sigmoid() if len(estimator.classes_) == 2 else L.Softmax()


def _transformer(step: Any) -> Layer:
    """A transformer as an affine layer."""
    kind = type(step).__name__
    if kind == "StandardScaler":
        _fitted(step, "n_features_in_")
        scale = np.asarray(step.scale_) if step.with_std else np.ones(step.n_features_in_)
        mean = np.asarray(step.mean_) if step.with_mean else np.zeros(step.n_features_in_)
        return L.Scale(1 / scale, -mean / scale)
    if kind == "MinMaxScaler":
        if step.clip:
            raise FormatError("MinMaxScaler(clip=True) is not affine; clip=False is read")
        return L.Scale(_fitted(step, "scale_"), _fitted(step, "min_"))
    if kind == "MaxAbsScaler":
        return L.Scale(1 / _fitted(step, "scale_"))
    if kind == "PCA":
        components, mean = _fitted(step, "components_"), np.asarray(step.mean_)
        weight = components.T / np.sqrt(step.explained_variance_) if step.whiten else components.T
        return L.Dense(weight, -(mean @ weight))
    raise FormatError(f"scikit-learn's {kind} is not read in front of an estimator; known: {', '.join(_TRANSFORMERS)}")
