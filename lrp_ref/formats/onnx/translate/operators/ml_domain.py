"""The operators of the domain ai.onnx.ml that are affine maps or norms: what scikit-learn's pipelines become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .....arrays import Array, like
from .....errors import FormatError
from .....layers import Abs, Compare, Concat, Dense, Divide, Identity, Pow, ReduceMax, Scale, Sigmoid, Softmax, Sqrt
from .....layers import Sum as SumOver
from .....layers.activations import Activation
from ...read.reader import ML_DOMAIN
from ..builder import Tensor
from ..operator_call import Call
from ..registry import Operator, OperatorFunction

#: Models that are no sums of weighted inputs, with what they are.
TREES = ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")
REFUSED = {
    **dict.fromkeys(
        (f"{ML_DOMAIN}.{op}" for op in TREES),
        "these are decision trees, which no layer of a network stands for: LRP does not explain trees; a surrogate network "
        "or a method made for trees does",
    ),
    **dict.fromkeys(
        (f"{ML_DOMAIN}.{op}" for op in ("SVMClassifier", "SVMRegressor")),
        "a support vector machine is no layered network; a linear one can be exported as a linear model",
    ),
}


@dataclass(frozen=True, eq=False, repr=False)
class Imputed(Activation):
    """`value` where z is `missing`, else z. Relevance stays at the feature, whose number was missing."""

    missing: float
    value: Any
    parameter_names: ClassVar[tuple[str, ...]] = ("value",)

    def function(self, z: Array) -> Array:
        return np.where(z == like(self.missing, z), like(self.value, z), z)

    def derivative(self, z: Array, output: Array) -> Array:
        return np.where(z == like(self.missing, z), like(0, z), like(1, z))


def _row(call: Call, name: str, features: int) -> Array | None:
    """A list of numbers, one for each feature, or one for all."""
    numbers = call.floats(name)
    if len(numbers) not in (0, 1, features):
        raise FormatError(f"the attribute {name!r} has {len(numbers)} numbers for {features} features")
    return np.asarray(numbers, dtype=np.float64) if numbers else None


def _table(call: Call) -> Tensor:
    """The input, one row of features for each sample."""
    x = call.tensor()
    if len(x.shape) != 1 or not call.lead:
        raise FormatError(f"samples of shape {x.shape} meet an operator for rows of features")
    return x


def _scaler(call: Call) -> Tensor:
    """(x − offset) · scale."""
    x = _table(call)
    offset, scale = _row(call, "offset", x.shape[0]), _row(call, "scale", x.shape[0])
    if offset is not None:
        # Two layers: one sum would round where offset · scale is large. They are folded into what follows.
        suffix = "" if scale is None else "shifted"
        x = call.emit(Scale(call.parameter(1.0), call.parameter(-offset)), x, suffix=suffix)
    if scale is not None:
        return call.emit(Scale(call.parameter(scale)), x)
    return x if offset is not None else call.emit(Identity(), x)


def _imputer(call: Call) -> Tensor:
    """Another number where x is the one that stands for a missing value. NaN is refused as an input, and so never met."""
    x = _table(call)
    imputed = _row(call, "imputed_value_floats", x.shape[0])
    if imputed is None:
        raise FormatError("it imputes integers, which is not read")
    missing = call.node.attributes.get("replaced_value_float", 0.0)
    if not isinstance(missing, (int, float)) or np.isnan(missing):
        return call.emit(Identity(), x)
    return call.emit(Imputed(float(np.float32(missing)), call.parameter(imputed)), x)


def _normalizer(call: Call) -> Tensor:
    """x over the sum of its magnitudes (L1), its length (L2), or its largest number (MAX)."""
    x, norm = _table(call), call.text("norm", "MAX")
    if norm == "MAX":
        return call.emit(Divide(), x, call.emit(ReduceMax((1,), True), x, suffix="largest"))
    if norm == "L1":
        if _complements(call, x):
            return x
        size = call.emit(SumOver((1,), True), call.emit(Abs(), x, suffix="magnitudes"), suffix="sum")
        return call.emit(Divide(), x, size)
    if norm != "L2":
        raise FormatError(f"the attribute 'norm' is {norm!r}, which is not supported")
    squares = call.emit(SumOver((1,), True), call.emit(Pow(call.parameter(2.0)), x, suffix="squares"), suffix="sum")
    return call.emit(Divide(), x, call.emit(Sqrt(), squares, suffix="length"))


def _complements(call: Call, x: Tensor) -> bool:
    """Whether `x` is [σ(−z), σ(z)], as logistic regression of two classes is written: its numbers sum to 1 already."""
    nodes = call.builder.nodes
    squash = nodes.get(x.name)
    below = nodes.get(squash.inputs[0]) if squash is not None and isinstance(squash.layer, Sigmoid) else None
    if below is None or not isinstance(below.layer, Dense) or below.layer.weight.shape[-1] != 2:
        return False
    weight, bias = below.layer.weight, below.layer.bias
    return bool((weight[:, 0] == -weight[:, 1]).all()) and (bias is None or bool(bias[0] == -bias[1]))


def _linear(call: Call, x: Tensor, upper: int, suffix: str) -> Tensor:
    flat, bias = call.floats("coefficients"), call.floats("intercepts")
    if upper < 1 or len(flat) != upper * x.shape[0] or len(bias) not in (0, upper):
        raise FormatError(
            f"{len(flat)} coefficients and {len(bias)} intercepts do not map {x.shape[0]} features to {upper} numbers"
        )
    weight = call.parameter(np.asarray(flat, dtype=np.float64).reshape(upper, -1).T)
    return call.emit(Dense(weight, call.parameter(np.asarray(bias)) if bias else None), x, suffix=suffix)


def _regressor(call: Call) -> Tensor:
    if call.text("post_transform", "NONE") != "NONE":
        raise FormatError(f"the attribute 'post_transform' is {call.text('post_transform')!r}, which is not read")
    return _linear(call, _table(call), call.integer("targets", 1), "")


def _classifier(call: Call) -> list[Tensor | None]:
    """The scores; the label is the class of the largest, and is left out."""
    x, squash = _table(call), call.text("post_transform", "NONE")
    labels = max(len(call.node.attributes.get(name, ())) for name in ("classlabels_ints", "classlabels_strings"))
    upper = len(call.floats("coefficients")) // max(x.shape[0], 1)
    if squash not in ("NONE", "LOGISTIC", "SOFTMAX"):
        raise FormatError(f"the attribute 'post_transform' is {squash!r}, which is not read")
    if upper == 1 and labels == 2:
        return [None, _of_one_score(call, x, squash)]
    scores = _linear(call, x, upper, "" if squash == "NONE" else "scores")
    layer = {"NONE": None, "LOGISTIC": Sigmoid(), "SOFTMAX": Softmax(1)}[squash]
    return [None, scores if layer is None else call.emit(layer, scores)]


def _of_one_score(call: Call, x: Tensor, squash: str) -> Tensor:
    """The scores of two classes from that of the second: [1 − z, z], or the squashed [−z, z]."""
    if squash == "NONE":
        z = _linear(call, x, 1, "score")
        other = call.emit(Scale(call.parameter(-1.0), call.parameter(1.0)), z, suffix="other")
        return call.emit(Concat(2, 1), other, z)
    if squash == "SOFTMAX":  # runtimes differ in what they do
        raise FormatError("a softmax of one score is not read")
    z = _linear(call, x, 1, "score")
    return call.emit(Sigmoid(), call.emit(Dense(call.parameter(np.array([[-1.0, 1.0]]))), z, suffix="scores"))


def _binarizer(call: Call) -> Tensor:
    return call.emit(Compare(">", call.parameter(call.number("threshold", 0.0))), call.tensor())


def _vectorizer(call: Call) -> Tensor:
    """Rows of features side by side."""
    signals = [call.tensor(index) for index in range(len(call.inputs))]
    return call.emit(Concat(len(signals), 1) if len(signals) > 1 else Identity(), *signals)


_FUNCTIONS: dict[str, OperatorFunction] = {
    "Binarizer": _binarizer,
    "FeatureVectorizer": _vectorizer,
    "Imputer": _imputer,
    "LinearClassifier": _classifier,
    "LinearRegressor": _regressor,
    "Normalizer": _normalizer,
    "Scaler": _scaler,
}
TABLE: dict[tuple[str, int], Operator] = {(f"{ML_DOMAIN}.{op}", 1): Operator(function) for op, function in _FUNCTIONS.items()}
