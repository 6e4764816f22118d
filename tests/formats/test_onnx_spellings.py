"""CONV-SPELLING: for each layer a table of ways to write it, all of which are read as that layer; and near misses.

A spelling gives the canonical layer, and so the same bits. Neighbours that compute something else are left as they are.
"""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import errors
from lrp_ref import layers as L
from lrp_ref.formats.onnx import load
from support import onnx_lines

F = np.float32
GIVEN = {"x": ("float32", ("N", 4, 6))}
#: Numbers by their names in the lines: h is ½, t 0.3 (which float32 has not).
NUMBERS = {
    "zero": 0,
    "one": 1,
    "two": 2,
    "three": 3,
    "six": 6,
    "less": -1,
    "h": 0.5,
    "t": 0.3,
    "part": 1 / 6,
    "five": 5,
    "fifth": 6 / 5,
    "rootpart": 6**-0.5,
    "gelu": np.sqrt(2 / np.pi),
    "cubic": 0.044715,
    "less_t": -0.3,
    "a": 0.7,
    "small": 0.001,
    "root": -0.5,
    "lessroot": -np.sqrt(0.5),
    "plusroot": np.sqrt(0.5),
}
STORED = {
    **{name: F(value) for name, value in NUMBERS.items()},
    "last": np.array([-1]),
    "middle": np.array([1]),
    "both": np.array([1, 2]),
    "zeros": np.zeros((1, 4, 6), F),
    "quarters": np.full((4, 1), F(0.25)),
    "narrow": np.arange(24, dtype=F).reshape(6, 4) % 5 / 4,
    "row": np.arange(1, 7, dtype=F),
}
#: A choice as tf2onnx writes it: each branch times a mask. Of Greater and Less with what they are not, and 0 in the shape of x.
TF_HARD = "q = Abs x; m = Greater q t; c = Cast m to=1; u = Mul c x; n = Not m; d = Cast n to=1; "
TF_INNER = (
    "l = Less x less_t; c = Cast l to=1; a1 = Add x t; u = Mul c a1; n = Not l; d = Cast n to=1; v = Mul d zeros; i = Add u v; "
)
TF_SOFT = TF_INNER + "k = Greater x t; e = Cast k to=1; s = Sub x t; w = Mul e s; o = Not k; f = Cast o to=1; r = Mul i f; "
SIGMOID = "n = Neg x; e = Exp n; d = Add e one; "
MASK = "m = Greater x zero; "
MEAN = "m = ReduceMean x axes=[-1]; d = Sub x m; "
ROOT = "w = Add v small; r = Sqrt w; "
VARIANCE = MEAN + "q = Mul d d; v = ReduceMean q axes=[2]; w = Add v small; "
SQUARE = "q = Mul x x; v = ReduceMean q axes=[-1]; w = Add v small; "
#: E[x²] − E[x]² in several words, and what stands behind a variance.
MOMENTS = "m = ReduceMean x axes=[-1]; q = Mul x x; s = ReduceMean q axes=[-1]; o = Mul m m; v = Sub s o; "
TAIL = "w = Add v small; r = Sqrt w; d = Sub x m; y = Div d r"
SUMS = (
    "n = ReduceSum x last keepdims=0; m = Mul n part; q = Mul x x; s = ReduceSum q last keepdims=0; p = Div s six; o = Mul m m; "
)
APART = VARIANCE + "r = Sqrt w; i = Reciprocal r; p = Mul x i; o = Mul m i; y = Sub p o"
SUM = "q = Pow x two; v = ReduceSum q last; "
GELU = "k = Mul u gelu; l = Tanh k; v = Add one l; w = Mul v h; y = Mul x w"
DROPPED = "n = ReduceMin x axes=[2] keepdims=0; m = Unsqueeze n last; d = Sub x m; "
SQUARED = "b = MatMul x narrow; n = ReduceMin b axes=[2] keepdims=0; "
RANGE = "m = ReduceMin x axes=[-1]; d = Sub x m; "
SOFT = (
    "m = Greater x t; b = Sub x t; u = Where m b zero; k = Less x less_t; c = Add x t; v = Where k c zero; ",
    "q = Abs x; m = Greater q t; s = Sign x; k = Mul s t; b = Sub x k; ",
)
# fmt: off
SPELLINGS = {
    "ReLU()": (
        "y = Max x zero", "y = Max zeros x",
        MASK + "y = Where m x zero", "m = Less zero x; y = Where m x zeros",
        "m = Less x zero; y = Where m zero x",
        MASK + "k = Not m; y = Where k zero x",
        MASK + "c = Cast m to=1; y = Mul c x",
        "y = ThresholdedRelu x alpha=0.0", "z = Mul x zero; y = Max x z",
        MASK + "c = Cast m to=9; y = Where c x zero",
    ),
    "Clip(low=0.0, high=6.0)": ("k = Min x six; y = Max k zero", "k = Relu x; y = Min six k", "k = Clip x - six; y = Relu k"),
    "Clip(high=0.0)": ("y = Min zero x",
        MASK + "y = Where m zero x", "m = Less x zero; c = Cast m to=1; y = Mul x c"),
    f"Clip(high={float(F(0.3))})": ("y = Min t x", "m = Less x t; y = Where m x t", "m = GreaterOrEqual x t; y = Where m t x"),
    "Clip(low=0.25)": ("y = Max quarters x", ),
    "LeakyReLU(slope=0.3)": (
        "k = Mul x t; y = Max x k", "k = Mul t x; y = Max k x",
        MASK + "k = Mul x t; y = Where m x k",
        "m = LessOrEqual x zero; k = Mul x t; y = Where m k x",
    ),
    "Abs()": ("n = Neg x; y = Max x n",
        MASK + "n = Neg x; y = Where m x n", "n = Mul x less; y = Max n x"),
    "Threshold(threshold=0.3)": (
        "y = ThresholdedRelu x alpha=0.3", "m = Greater x t; y = Where m x zero", "m = Greater x t; c = Cast m to=1; y = Mul x c",
    ),
    "Threshold(threshold=0.3, value=0.7)": ("m = LessOrEqual x t; y = Where m a x", ),
    "Shrink(threshold=0.3)": (
        "y = Shrink x lambd=0.3 bias=0.0", "q = Abs x; m = Greater q t; y = Where m x zero",
        "m = Greater x t; k = Less x less_t; c = Or m k; y = Where c x zero",
        "k = Less x less_t; m = Less t x; c = Or k m; y = Where c x zero",
        "q = Abs x; m = LessOrEqual q t; y = Where m zero x", "q = Abs x; m = Greater q t; c = Cast m to=1; y = Mul c x",
        TF_HARD + "v = Mul zeros d; y = Add u v", TF_HARD + "v = Mul d zeros; y = Add v u",
    ),
    "Shrink(threshold=0.3, shift=0.3)": (
        "y = Shrink x lambd=0.3 bias=0.3",
        SOFT[0] + "y = Add u v",
        SOFT[0] + "y = Add v u",
        SOFT[0] + "y = Where m b v",
        SOFT[1] + "y = Where m b zero",
        SOFT[1] + "w = Mul x zero; y = Where m b w",
        TF_SOFT + "y = Add w r",
        TF_SOFT + "y = Add r w",
    ),
    "ELU()": ("e = Exp x; k = Sub e one; " + MASK + "y = Where m x k", ),
    "ELU(alpha=0.7)": ("e = Exp x; k = Sub e one; w = Mul k a; m = LessOrEqual x zero; y = Where m w x", ),
    "CELU(alpha=2.0)": ("b = Div x two; e = Exp b; k = Sub e one; w = Mul k two; " + MASK + "y = Where m x w", ),
    "Sigmoid()": (
        SIGMOID + "y = Reciprocal d",
        SIGMOID + "y = Div one d",
        SIGMOID + "y = Pow d less",
        "e = Exp x; d = Add one e; y = Div e d",
        "n = Mul x less; e = Exp n; d = Add one e; y = Div one d", "k = Mul x h; w = Tanh k; u = Add w one; y = Mul u h",
    ),
    "SiLU()": (
        SIGMOID + "y = Div x d",
        SIGMOID + "r = Reciprocal d; y = Mul r x",
        SIGMOID + "r = Div one d; y = Mul x r",
        "s = Sigmoid x; y = Mul x s",
    ),
    "Softplus()": ("e = Exp x; d = Add e one; y = Log d", "n = Neg x; s = Sigmoid n; k = Log s; y = Neg k"),
    "Softplus(beta=2.0)": (
        "b = Mul x two; e = Exp b; d = Add one e; k = Log d; y = Div k two",
        "b = Mul x two; k = Softplus b; y = Mul k h",
    ),
    "LogSigmoid()": (
        "s = Sigmoid x; y = Log s",
        SIGMOID + "k = Log d; y = Neg k",
        SIGMOID + "s = Reciprocal d; y = Log s",
        "n = Neg x; s = Softplus n; y = Neg s",
    ),
    "Mish()": ("e = Exp x; d = Add e one; k = Log d; w = Tanh k; y = Mul x w", ),
    "Softsign()": ("q = Abs x; d = Add q one; y = Div x d", "q = Abs x; d = Add one q; r = Reciprocal d; y = Mul r x"),
    f"HardSigmoid(alpha={1 / 6})": (
        "y = HardSigmoid x alpha=0.16666667 beta=0.5",
        "k = Div x six; b = Add k h; y = Clip b zero one", "k = Mul x part; b = Add h k; w = Relu b; y = Min w one",
        "b = Add x three; w = Clip b zero six; y = Div w six", "b = Add x three; w = Relu b; k = Min w six; y = Mul k part",
    ),
    "HardSwish()": (
        "b = Add x three; w = Relu b; k = Min w six; v = Mul x k; y = Div v six",
        "k = Div x six; b = Add k h; w = Clip b zero one; y = Mul w x",
    ),
    "GELU(approximate='tanh')": (
        "q = Mul x x; b = Mul q x; c = Mul b cubic; u = Add x c; " + GELU,
        "b = Mul x cubic; q = Mul x b; c = Mul x q; u = Add x c; " + GELU,
        "q = Pow x three; c = Mul cubic q; u = Add c x; " + GELU,
        "q = Mul x x; b = Mul q cubic; c = Mul b x; u = Add x c; " + GELU,
        "q = Pow x two; b = Mul q cubic; c = Add b one; u = Mul x c; " + GELU,
        "q = Pow x two; b = Mul q cubic; c = Add b one; e = Mul x gelu; k = Mul e c; " + GELU.split("; ", 1)[1],
    ),
    "Softmax(axis=2)": (
        ("k = ReduceMax x axes=[2] keepdims=0; l = Unsqueeze k last; b = Sub x l; e = Exp b; s = ReduceSum e last keepdims=0; "
        "f = Unsqueeze s last; y = Div e f"),
        "e = Exp x; s = ReduceSum e last; y = Div e s", "e = Exp x; s = ReduceSum e last; r = Reciprocal s; y = Mul e r",
        "k = ReduceMax x axes=[2]; b = Sub x k; e = Exp b; s = ReduceSum e last; y = Div e s",
    ),
    "LogSoftmax(axis=2)": (
        "e = Exp x; s = ReduceSum e last; k = Log s; y = Sub x k",
        "w = ReduceMax x axes=[-1]; b = Sub x w; e = Exp b; s = ReduceSum e last; k = Log s; y = Sub b k",
    ),
    "LayerNorm(epsilon=0.001)": (
        VARIANCE + "r = Sqrt w; y = Div d r",
        VARIANCE + "r = Sqrt w; i = Div one r; y = Mul i d",
        VARIANCE + "r = Pow w root; y = Mul d r",
        VARIANCE + "r = Pow w h; y = Div d r",
        VARIANCE + "i = Reciprocal w; r = Sqrt i; y = Mul r d",
        MEAN + "k = ReduceMean x axes=[-1]; b = Sub x k; q = Mul b b; v = ReduceMean q axes=[-1]; " + ROOT + "y = Div d r",
        MEAN + "q = Mul d d; u = ReduceMean q axes=[-1] keepdims=0; v = Unsqueeze u last; " + ROOT + "y = Div d r",
        MEAN + "v = ReduceSumSquare d axes=[-1]; w = Mul v part; k = Add w small; r = Sqrt k; y = Div d r",
        VARIANCE + "r = Sqrt w; i = Div one r; k = Mul i one; y = Mul k d",
        MOMENTS + TAIL,
        MOMENTS + "w = Add v small; r = Sqrt w; i = Reciprocal r; d = Sub x m; y = Mul d i",
        MOMENTS + "u = Relu v; w = Add small u; r = Pow w root; d = Sub x m; y = Mul r d",
        MOMENTS + "u = Max v zero; w = Add small u; i = Reciprocal w; r = Sqrt i; d = Sub x m; y = Mul r d",
        MOMENTS.replace("Mul m m", "Pow m two") + "w = Add v small; r = Pow w h; d = Sub x m; y = Div d r",
        MOMENTS.replace("Sub s o", "Add s b").replace("; v", "; b = Neg o; v") + TAIL,
        SUMS + "v = Sub p o; u = Relu v; k = Unsqueeze u last; w = Add k small; r = Sqrt w; i = Reciprocal r; "
        "l = Unsqueeze m last; d = Sub x l; y = Mul i d",
        SUMS + "v = Sub p o; w = Add v small; r = Pow w root; k = Unsqueeze r last; f = Shape x; i = Expand k f; "
        "l = Unsqueeze m last; j = Expand l f; d = Sub x j; y = Mul i d",
        ("n = ReduceSum x last; m = Div n six; d = Sub x m; v = ReduceSumSquare d axes=[-1]; k = Div v six; w = Add k small; "
        "r = Sqrt w; y = Div d r"),
        APART,
        APART.replace("Mul x i", "Mul i x").replace("Mul m i", "Mul i m"),
        APART.replace("y = Sub p o", "k = Neg o; y = Add p k"),
    ),
    "LayerNorm(epsilon=0.0, outside=0.001)": (
        MEAN + "q = Mul d d; v = ReduceMean q axes=[2]; r = Sqrt v; w = Add r small; y = Div d w",
        MEAN + "q = Mul d d; v = ReduceMean q axes=[2]; r = Pow v h; w = Add small r; i = Reciprocal w; y = Mul i d",
        MOMENTS + "r = Sqrt v; w = Add r small; d = Sub x m; y = Div d w",
    ),
    "LayerNorm(epsilon=0.001, correction=1)": (
        MEAN + "q = Mul d d; s = ReduceSum q last; v = Div s five; " + ROOT + "y = Div d r",
        MEAN + "q = Mul d d; s = ReduceMean q axes=[2]; k = Mul s six; v = Div k five; " + ROOT + "y = Div d r",
        MOMENTS.replace("v =", "k =") + "v = Mul k fifth; " + TAIL,
    ),
    "LayerNorm(epsilon=0.0, outside=0.001, correction=1)": (
        MEAN + "q = Mul d d; s = ReduceMean q axes=[2]; v = Mul s fifth; r = Sqrt v; w = Add r small; y = Div d w",
    ),
    "LayerNorm(scale[6], shift[6], epsilon=0.0, outside=0.001, correction=1)": (
        MEAN + "q = Mul d d; s = ReduceMean q axes=[2]; v = Mul s fifth; r = Sqrt v; w = Add r small; k = Mul row d; "
        "l = Div k w; y = Add l row",
    ),
    "LayerNorm(scale[6], shift[6], epsilon=0.001)": (
        MOMENTS + "w = Add v small; r = Sqrt w; i = Reciprocal r; g = Mul i row; d = Sub x m; k = Mul d g; y = Add k row",
        VARIANCE + "r = Sqrt w; i = Reciprocal r; g = Mul i row; p = Mul x g; o = Mul m g; b = Sub row o; y = Add p b",
        VARIANCE + "r = Sqrt w; i = Reciprocal r; g = Mul row i; p = Mul g x; o = Mul g m; b = Sub row o; y = Add b p",
        VARIANCE + "r = Sqrt w; i = Reciprocal r; g = Mul i row; p = Mul x g; o = Mul m g; b = Sub p o; y = Add b row",
    ),
    "LayerNorm(axes=2, epsilon=0.001)": (
        "m = ReduceMean x axes=[1,2]; d = Sub x m; q = Mul d d; v = ReduceMean q axes=[1,2]; " + ROOT + "y = Div d r",
    ),
    "LayerNorm(scale[6], epsilon=0.001)": (
        VARIANCE + "r = Sqrt w; k = Div d r; y = Mul k row",
        VARIANCE + "r = Sqrt w; i = Reciprocal r; k = Mul i row; y = Mul d k",
    ),
    "RMSNorm(epsilon=0.001)": (
        SQUARE + "r = Sqrt w; y = Div x r",
        SQUARE + "r = Sqrt w; i = Reciprocal r; y = Mul i x",
        SQUARE + "r = Pow w root; y = Mul x r",
        "q = Pow x two; v = ReduceSum q last; u = Div v six; w = Add small u; r = Sqrt w; y = Div x r",
        "q = Mul x x; v = ReduceMean q axes=[-1] keepdims=0; k = Unsqueeze v last; w = Add k small; r = Pow w root; y = Mul r x",
        SQUARE + "i = Reciprocal w; r = Sqrt i; f = Shape x; k = Expand r f; y = Mul x k",
    ),
    "RMSNorm(epsilon=0.0, outside=0.001)": (
        "q = Mul x x; v = ReduceMean q axes=[-1]; r = Sqrt v; w = Add r small; y = Div x w",
        "q = Mul x x; v = ReduceMean q axes=[-1]; r = Pow v h; w = Add small r; i = Reciprocal w; y = Mul x i",
    ),
    "RMSNorm(epsilon=0.0, outside=0.5)": ("r = ReduceL2 x axes=[2]; k = Mul r rootpart; w = Add k h; y = Div x w",),
    "RMSNorm(scale[6], epsilon=0.0, outside=0.001)": (
        "q = Mul x x; v = ReduceMean q axes=[-1]; r = Sqrt v; w = Add r small; k = Mul x row; y = Div k w",
    ),
    "RMSNorm(scale[6], epsilon=0.001)": (
        SQUARE + "r = Sqrt w; k = Div x r; y = Mul row k",
        SQUARE + "r = Pow w root; k = Mul r row; y = Mul k x",
    ),
    "LpNorm(axes=(2,))": (
        "y = LpNormalization x axis=-1 p=2", "r = ReduceL2 x axes=[2]; y = Div x r",
        SUM + "r = Sqrt v; y = Div x r",
        "v = ReduceSumSquare x axes=[-1]; r = Sqrt v; i = Reciprocal r; y = Mul i x",
        "r = ReduceL2 x axes=[2]; s = Shape x; k = Expand r s; y = Div x k",
        "r = ReduceL2 x axes=[2]; p = Div x r; c = Equal r zero; y = Where c zero p",
    ),
    "LpNorm(axes=(2,), epsilon=0.001)": (SUM + "w = Add v small; r = Sqrt w; y = Div x r", ),
    "LpNorm(axes=(2,), outside=0.001)": (
        "r = ReduceL2 x axes=[2]; w = Add r small; y = Div x w",
        SUM + "r = Sqrt v; w = Add small r; i = Reciprocal w; y = Mul i x",
    ),
    "LpNorm(axes=(2,), floor=0.5)": (
        "r = ReduceL2 x axes=[2]; k = Clip r h; y = Div x k", "r = ReduceL2 x axes=[2]; k = Max h r; y = Div x k",
        "r = ReduceL2 x axes=[2]; c = Clip r h; s = Shape x; k = Expand c s; y = Div x k",
    ),
    "LpNorm(axes=(1, 2), p=1)": ("r = ReduceL1 x axes=[1,2]; y = Div x r", "q = Abs x; r = ReduceSum q both; y = Div x r"),
    "MinMaxNorm(axes=(2,))": (
        RANGE + "k = ReduceMax d axes=[-1]; y = Div d k",
        RANGE + "k = ReduceMax x axes=[2]; r = Sub k m; y = Div d r",
        DROPPED + "k = ReduceMax d axes=[2] keepdims=0; l = Unsqueeze k last; y = Div d l",
        DROPPED + "k = ReduceMax x axes=[2] keepdims=0; r = Sub k n; l = Unsqueeze r last; y = Div d l",
        RANGE + "k = ReduceMax d axes=[-1]; p = Div d k; c = Equal k zero; y = Where c zero p",
        RANGE + "k = ReduceMax x axes=[2]; r = Sub k m; p = Div d r; e = Equal r zero; c = Not e; y = Where c p zero",
        DROPPED + "k = ReduceMax d axes=[2] keepdims=0; l = Unsqueeze k last; c = Equal l zero; p = Div d l; f = Shape p; "
        "g = Expand c f; y = Where g zero p",
        RANGE + "k = ReduceMax x axes=[2]; w = ReduceMin x axes=[2]; r = Sub k w; i = Reciprocal r; y = Mul d i",
    ),
    "MinMaxNorm(axes=(1, 2), epsilon=0.001)": (
        "m = ReduceMin x axes=[1,2]; d = Sub x m; k = ReduceMax x axes=[1,2]; r = Sub k m; w = Add r small; y = Div d w",
    ),
    "MinMaxNorm(axes=(2,), floor=0.5)": (RANGE + "k = ReduceMax d axes=[-1]; w = Clip k h; y = Div d w", ),
}
# fmt: on
#: Spellings of a sigmoid of a multiple of x, and that multiple.
TANH = {
    "w = Tanh x; u = Add w one; y = Mul u h": 2.0,
    "w = Tanh x; k = Mul w h; y = Add h k": 2.0,
    "w = Tanh x; u = Add one w; y = Div u two": 2.0,
    "w = Tanh x; u = Sub one w; y = Mul h u": -2.0,
    "k = Mul x three; w = Tanh k; u = Add w one; y = Mul u h": 6.0,
    "n = Neg x; w = Tanh n; u = Add w one; y = Mul u h": -2.0,
}
TABLE = [pytest.param(layer, text, id=f"{layer}: {text}") for layer, texts in SPELLINGS.items() for text in texts]


def written(text):
    return onnx_lines.file(text, GIVEN, opset=17, **{w: STORED[w] for w in text.replace(";", " ").split() if w in STORED})


def numbers(batch=5):
    """Random numbers, zeros of both signs, and numbers that the files compare with."""
    x = np.random.default_rng(1).normal(0, 2, (batch, 4, 6)).astype(F)
    x[0].flat[:6] = [0, -0.0, 0.5, 6, -3, 3]
    return x


def predicted(content, x):
    return onnx_lines.session(content).run(None, {"x": x})[0]


@pytest.mark.parametrize(("layer", "text"), TABLE)
def test_every_spelling_is_the_layer_itself(layer, text):
    content, x = written(text), numbers()
    model = load(content)
    (node,) = model.nodes
    assert repr(node.layer) == layer
    assert (node.name, node.inputs) == ("y", ("x",))
    assert np.array_equal(model(x), node.layer.forward(x.astype(model.dtype)))

    np.testing.assert_allclose(model(x), predicted(content, x), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(("text", "factor"), TANH.items())
def test_half_and_half_of_a_tanh_is_a_sigmoid_of_twice_its_input(text, factor):
    """½(1 + tanh z) = σ(2z); the signs of ½ may be those of z."""
    content, x = written(text), numbers()
    model = load(content)
    scale, node = model.nodes
    assert (node.name, repr(node.layer), node.inputs) == ("y", "Sigmoid()", (scale.name,))
    np.testing.assert_array_equal(scale.layer.forward(x), F(factor) * x)
    np.testing.assert_allclose(model(x), predicted(content, x), rtol=2e-6, atol=1e-6)


#: Operators that tf2onnx leaves in a file under TensorFlow's names; no runtime of ONNX computes them.
LEFT = {
    "ELU()": ("e = Expm1 x; m = Greater x zero; y = Where m x e", "e = tf.Expm1 x; m = LessOrEqual x zero; y = Where m e x"),
    "ELU(alpha=0.7)": ("e = Expm1 x; k = Mul e a; m = Greater x zero; y = Where m x k",),
    "GELU()": (
        "u = Mul x lessroot; c = Erfc u; k = Mul c h; y = Mul x k",
        "u = Mul x lessroot; c = tf.Erfc u; k = Mul x h; y = Mul k c",
        "u = Mul x lessroot; e = Erf u; c = Sub one e; k = Mul c h; y = Mul x k",
    ),
}


@pytest.mark.parametrize(("layer", "text"), [(layer, text) for layer, texts in LEFT.items() for text in texts])
def test_what_tensorflow_writes_by_its_own_names_is_the_layer_itself(layer, text):
    (node,) = load(written(text)).nodes
    assert (repr(node.layer), node.name, node.inputs) == (layer, "y", ("x",))


@pytest.mark.parametrize("domain", ["", "tf."])
def test_operators_of_tensorflow_alone_are_sums_of_those_of_onnx(domain):
    x = numbers()
    found = load(written(f"e = {domain}Expm1 x; y = Add e zero"))(x)
    np.testing.assert_allclose(found, np.expm1(x.astype(np.float64)), rtol=1e-5, atol=1e-6)
    found = load(written(f"one_ = Identity x; e = {domain}Erfc one_; y = Add e zero"))(x)
    expected = 1 - onnx_lines.session(written("e = Erf x; y = Add e zero")).run(None, {"x": x})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_another_operator_under_a_framework_s_name_is_refused_as_before():
    with pytest.raises(errors.FormatError, match=r"tensorflow\.Lgamma"):
        load(written("y = tf.Lgamma x"))


NEAR = {
    "the other tail of an error function": "u = Mul x plusroot; c = Erf u; k = Sub one c; l = Mul k h; y = Mul x l",
    "at the threshold itself": "m = GreaterOrEqual x t; y = Where m x zero",
    "a value at the threshold itself": "m = Less x t; y = Where m a x",
    "the smaller multiple": "k = Mul x t; y = Min x k",
    "two above one": "e = Exp x; d = Add e two; y = Log d",
    "one above another number": "n = Neg x; e = Exp n; d = Add e two; y = Reciprocal d",
    "a root above one": "q = Abs x; d = Add q two; y = Div x d",
    "half and more of another tanh": "w = Tanh x; u = Add w two; y = Mul u h",
    "a third of another tanh": "w = Tanh x; u = Add w one; y = Mul u t",
    "another bend below": "e = Exp x; k = Sub e h; " + MASK + "y = Where m x k",
    "shrinkage by two numbers": SOFT[0].replace("c = Add x t", "c = Add x h") + "y = Add u v",
    "another bound below": "m = Greater x t; k = Less x less; c = Or m k; y = Where c x zero",
    "shrinkage with another bend below": SOFT[0].replace("Less x less_t", "Less x less") + "y = Add u v",
    "the larger multiple of more than one": "k = Mul x two; y = Max x k",
    "a mean over other cells": MEAN.replace("[-1]", "[1]") + "q = Mul d d; v = ReduceMean q axes=[2]; " + ROOT + "y = Div d r",
    "a range from another minimum": RANGE + "k = ReduceMax x axes=[2]; w = ReduceMin x axes=[1]; r = Sub k w; y = Div d r",
    "bounds that exclude each other": "k = Min x less; y = Max k zero",
    "a sum of other powers": "n = Neg x; k = Exp n; e = Exp x; s = ReduceSum k middle; y = Div e s",
    "a mean square of something else": "n = Relu x; " + SQUARE.replace("x x", "n n") + "r = Sqrt w; y = Div x r",
    "twice a mean square": "q = Mul x x; v = ReduceMean q axes=[-1]; u = Mul v two; w = Add u small; r = Sqrt w; y = Div x r",
    "a minimum put back in another place": SQUARED + "m = Unsqueeze n middle; d = Sub b m; k = ReduceMax d axes=[2]; y = Div d k",
    "a range put back in another place": SQUARED
    + "m = Unsqueeze n last; d = Sub b m; l = ReduceMax d axes=[2] keepdims=0; k = Unsqueeze l middle; y = Div d k",
    "another divisor that is looked at": RANGE + "k = ReduceMax d axes=[-1]; p = Div d k; l = ReduceMax x axes=[-1]; "
    "c = Equal l zero; y = Where c zero p",
    "another number where the divisor is 0": RANGE
    + "k = ReduceMax d axes=[-1]; p = Div d k; c = Equal k zero; y = Where c one p",
    "0 where the divisor is not 0": "r = ReduceL2 x axes=[2]; p = Div x r; c = Equal r zero; y = Where c p zero",
    "a minimum over other cells": "m = ReduceMin x axes=[1]; d = Sub x m; k = ReduceMax d axes=[2]; y = Div d k",
    "a range of something else": RANGE + "k = ReduceMax x axes=[-1]; y = Div d k",
    "a mean put back in another place": (
        "b = MatMul x narrow; m = ReduceMean b axes=[2] keepdims=0; k = Unsqueeze m middle; d = Sub b k; q = Mul d d; "
        "v = ReduceMean q axes=[2]; u = Add v small; r = Sqrt u; y = Div d r"
    ),
    "a mean square less half of a squared mean": MOMENTS.replace("Sub s o", "Sub s u").replace("; v", "; u = Mul o h; v") + TAIL,
    "a variance of something else": MOMENTS.replace("Mul x x", "Mul z z").replace("m =", "z = Relu x; m =", 1) + TAIL,
    "a squared mean of something else": MOMENTS.replace("Mul m m", "Mul l l").replace(
        "o =", "z = Relu x; l = ReduceMean z axes=[-1]; o ="
    )
    + TAIL,
    "a variance of other values": "z = Relu x; "
    + MOMENTS.replace(" x", " z")
    + "w = Add v small; r = Sqrt w; n = ReduceMean x axes=[2]; d = Sub x n; y = Div d r",
    "a variance about other means": "m = ReduceMean x axes=[1]; d = Sub x m; q = Mul d d; v = ReduceMean q axes=[2]; "
    + ROOT
    + "n = ReduceMean x axes=[2]; e = Sub x n; y = Div e r",
    "a squared mean square": "q = Mul x x; s = ReduceMean q axes=[2]; o = Mul s s; k = Add s o; v = Mul k h; "
    + ROOT
    + "y = Div x r",
    "a polynomial with a constant": "q = Pow x three; c = Mul cubic q; b = Add x c; u = Add b small; " + GELU,
    "a part of another kind taken off": APART.replace("Mul m i", "Mul k i").replace("; p", "; k = ReduceMax x axes=[2]; p"),
    "another number of degrees of freedom": MEAN + "q = Mul d d; s = ReduceSum q last; v = Div s three; " + ROOT + "y = Div d r",
    "a number taken off the deviation": VARIANCE + "r = Sqrt w; s = Sub r small; y = Div d s",
    "a root with a floor of a variance": VARIANCE + "r = Sqrt w; s = Max r h; y = Div d s",
    "halves of other roots": APART.replace("Mul m i", "Mul m k").replace("; p", "; k = Mul i two; p"),
    "two masks that are not opposite": TF_SOFT.replace("o = Not k", "o = Less x zero") + "y = Add w r",
    "a part that is not 0 beside a shrinkage": TF_HARD + "v = Mul d h; y = Add u v",
    "0 times a signal beside a shrinkage": TF_HARD + "v = Mul x zeros; y = Add u v",
    "cut at one": "b = Add x h; y = Clip b zero one",
}


@pytest.mark.parametrize("name", NEAR)
def test_what_is_nearly_a_layer_predicts_what_it_says(name):
    content, x = written(NEAR[name]), numbers()
    model = load(content)
    assert len(model.nodes) > 1
    np.testing.assert_allclose(model(x), predicted(content, x), rtol=2e-6, atol=1e-6)


def response(size, before, after, channels=4):
    """PyTorch's LocalResponseNorm as it is exported: windows over the channels by a pooling in three dimensions."""
    stored = {"apart": np.array([0, 1, channels, 5, -1]), "ends": np.array([0, 0, before, 0, 0, 0, 0, after, 0, 0])}
    stored |= {"first": np.array([1]), "alpha": F(0.001), "k": F(2), "beta": F(0.75)}
    text = "q = Mul x x; v = Reshape q apart; p = Pad v ends; "
    text += f"a = AveragePool p kernel_shape=[{size},1,1] strides=[1,1,1] pads=[0,0,0,0,0,0] count_include_pad=1; "
    text += "u = Squeeze a first; w = Mul u alpha; b = Add w k; r = Pow b beta; y = Div x r"
    return onnx_lines.file(text, {"x": ("float32", ("N", channels, 5, 6))}, opset=17, **stored)


@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_local_response_normalisation_is_found_by_what_it_gives(size):
    content = response(size, size // 2, size // 2)
    x = np.random.default_rng(0).normal(0, 9, (3, 4, 5, 6)).astype(F)
    model = load(content)
    assert [repr(node.layer) for node in model.nodes] == [repr(L.LRN(size, 0.001, 0.75, 2.0))]
    np.testing.assert_allclose(model(x), predicted(content, x), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("size", [2, 4, 6])
def test_the_neighbours_of_an_even_size_lie_on_either_side(size):
    """PyTorch's has one channel more below than above; ONNX's, and Caffe's, the other way round: the channels turned about."""
    content = response(size, size // 2, size // 2 - 1)
    x = np.random.default_rng(0).normal(0, 9, (3, 4, 5, 6)).astype(F)
    model = load(content)
    turned, norm, back = (node.layer for node in model.nodes)
    assert repr(norm) == repr(L.LRN(size, 0.001, 0.75, 2.0))
    assert repr(turned) == repr(back) == repr(L.Slice(None, None, 1, -1))
    np.testing.assert_allclose(model(x), predicted(content, x), rtol=2e-6, atol=1e-6)
    e = lrp_ref.explain(model, x, target=(1, 2, 3))
    assert np.argwhere(e.relevance[0]).tolist() == [[1, 2, 3]]
    other = load(response(size, size // 2 - 1, size // 2))
    assert [repr(node.layer) for node in other.nodes] == [repr(norm)]


def test_windows_that_lie_otherwise_are_no_local_response_normalisation():
    x = np.random.default_rng(0).normal(0, 9, (3, 4, 5, 6)).astype(F)
    for content in (response(4, 3, 0), response(3, 2, 0)):
        model = load(content)
        assert not any(isinstance(node.layer, L.LRN) for node in model.nodes)
        np.testing.assert_allclose(model(x), predicted(content, x), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("norm", [L.LayerNorm, L.RMSNorm])
def test_a_norm_over_the_channels_is_one_between_transpositions(norm, affine):
    """ConvNeXt's layer norm: over axis 1, with γ and β of shape (C, 1, 1)."""
    start = "m = ReduceMean x axes=[1]; d = Sub x m; " if norm is L.LayerNorm else "d = Identity x; "
    text = start + "q = Pow d two; v = ReduceMean q axes=[1]; w = Add v small; r = Sqrt w; k = Div d r; "
    text += "b = Mul k scale; y = Add b shift" if affine else "y = Mul k one"
    stored = {name: STORED[name] for name in ("two", "small", "one")}
    stored |= {"scale": np.arange(1, 5, dtype=F).reshape(4, 1, 1), "shift": np.full((4, 1, 1), F(0.25))}
    content = onnx_lines.file(text, {"x": ("float32", ("N", 4, 5, 6))}, opset=17, **stored)
    x = np.random.default_rng(2).normal(size=(3, 4, 5, 6)).astype(F)
    model = load(content)
    assert [type(node.layer) for node in model.nodes] == [L.Transpose, norm, L.Transpose]
    if affine:
        assert model.nodes[1].layer.scale.tolist() == [1, 2, 3, 4]
        assert model.nodes[1].layer.shift.tolist() == [0.25] * 4
    np.testing.assert_allclose(model(x), predicted(content, x), rtol=2e-5, atol=1e-5)


def test_a_quotient_by_a_sigmoids_denominator_is_a_gate():
    """h / (1 + exp(−z)): the sigmoid is a node of its own, and the signal takes all."""
    model = load(written("r = Relu x; " + SIGMOID + "y = Div r d"))
    assert repr(model["y"].layer) == "Multiply(signal=0)"
    assert [type(model[name].layer) for name in model["y"].inputs] == [L.ReLU, L.Sigmoid]


@pytest.mark.parametrize(
    "text",
    [
        "e = Exp x; d = Add e one; y = Reciprocal d",
        "k = Mul x two; b = Add k h; e = Exp b; d = Add e one; y = Reciprocal d",
        "b = Add x h; k = Mul b less; e = Exp k; d = Add one e; y = Div one d",
    ],
)
def test_a_sigmoid_of_another_sign_or_of_a_sum(text):
    """1 / (1 + exp(x)) is σ(−x): the negative is a node of its own."""
    content, x = written(text), numbers()
    model = load(content)
    assert isinstance(model["y"].layer, L.Sigmoid)
    np.testing.assert_allclose(model(x), predicted(content, x), rtol=2e-6)


@pytest.mark.parametrize("text", [SIGMOID + "y = Reciprocal d", "s = Sigmoid x; y = Log s"])
def test_a_sigmoid_at_the_end_shows_a_probability_however_it_is_spelled(text):
    model = load(written(text))
    with pytest.raises(lrp_ref.errors.HeadError, match="log-odds"):
        lrp_ref.explain(model, numbers(), target=(0, 0))
    e = lrp_ref.explain(model, numbers(), target=(0, 1), head="logit")
    assert np.array_equal(e.value, numbers()[:, 0, 1])
