"""One small model for each schema of each operator: how the operator is written in that version."""

import numpy as np

F = np.float32
RNG = np.random.default_rng(11)
SHAPE = (2, 4, 6, 6)
WEIGHT = RNG.normal(size=(3, 4, 3, 3)).astype(F)
ROW = RNG.normal(size=4).astype(F)
POSITIVE = (np.abs(RNG.normal(size=4)) + 0.5).astype(F)


def ints(*values):
    return np.array(values, np.int64)


def listed(version, since, name, values):
    """Integers as an input from `since` on, as an attribute before."""
    return ([ints(*values)], {}) if version >= since else ([], {name: list(values)})


def plain(**attributes):
    return lambda version: (SHAPE, [], attributes)


def constant(array, **attributes):
    return lambda version: (SHAPE, [array], attributes)


def axes(since, **attributes):
    def made(version):
        inputs, more = listed(version, since, "axes", (2, 3))
        return SHAPE, inputs, more | attributes

    return made


def clip(version):
    return (SHAPE, [F(-0.5), F(0.75)], {}) if version >= 11 else (SHAPE, [], {"min": -0.5, "max": 0.75})


def dropout(version):
    return (SHAPE, [], {"ratio": 0.25}) if version < 12 else (SHAPE, [F(0.25)], {})


def batch_norm(version):
    return SHAPE, [POSITIVE, ROW, ROW, POSITIVE], {"epsilon": 1e-3}


def squeeze(version):
    inputs, more = listed(version, 13, "axes", (1,))
    return (2, 1, 5), inputs, more


def unsqueeze(version):
    inputs, more = listed(version, 13, "axes", (1, -1))
    return ((2, 5), inputs, more) if version >= 11 else ((2, 5), [], {"axes": [1, 3]})


def split(version):
    inputs, more = listed(version, 13, "split", (1, 3))
    return SHAPE, inputs, more | {"axis": 1, "outputs": 2}


def cut(version):
    if version < 10:
        return SHAPE, [], {"starts": [1, -4], "ends": [3, 100], "axes": [1, 2]}
    return SHAPE, [ints(1, -1), ints(3, -5), ints(1, 2), ints(1, -2)], {}


def pad(version):
    pads = (0, 0, 1, 0, 0, 1, 0, 2)
    if version < 11:
        return SHAPE, [], {"pads": list(pads), "value": 0.5}
    return SHAPE, [ints(*pads), F(0.5)], {}


def resize(version):
    scales = np.array([1, 1, 2, 1.5], F)
    if version == 10:
        return SHAPE, [scales], {"mode": "linear"}
    return SHAPE, ["", scales], {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}


def upsample(version):
    scales = [1.0, 1.0, 2.0, 3.0]
    return (SHAPE, [], {"scales": scales}) if version < 9 else (SHAPE, [np.array(scales, F)], {})


def group_norm(version):
    values = POSITIVE if version >= 21 else POSITIVE[:2]
    return SHAPE, [values, values], {"num_groups": 2}


def einsum(version):
    return (2, 3, 4), [RNG.normal(size=(4, 5)).astype(F)], {"equation": "bij,jk->bik"}


def gemm(version):
    return (
        (2, 4),
        [RNG.normal(size=(5, 4)).astype(F), RNG.normal(size=(1, 5)).astype(F)],
        {"transB": 1, "alpha": 0.5, "beta": 2.0},
    )


CAST = {"to": 1}
EXAMPLES = {
    "Abs": plain(),
    "Add": constant(ROW.reshape(4, 1, 1)),
    "AveragePool": plain(kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 1]),
    "BatchNormalization": batch_norm,
    "Cast": plain(**CAST),
    "CastLike": constant(F(1)),
    "Celu": plain(alpha=0.5),
    "Clip": clip,
    "Concat": constant("x", axis=2),
    "Conv": constant(WEIGHT, pads=[1, 0, 2, 1], strides=[2, 1]),
    "ConvTranspose": constant(WEIGHT.transpose(1, 0, 2, 3).copy(), strides=[2, 2], output_padding=[1, 0]),
    "DepthToSpace": plain(blocksize=2),
    "Div": constant(POSITIVE.reshape(4, 1, 1)),
    "Dropout": dropout,
    "Einsum": einsum,
    "Elu": plain(alpha=0.5),
    "Equal": constant(F(0)),
    "Erf": plain(),
    "Exp": plain(),
    "Expand": lambda version: ((2, 1, 3), [ints(1, 4, 3)], {}),
    "Flatten": plain(axis=1),
    "Gather": constant(ints(2, 0), axis=1),
    "Gelu": plain(approximate="tanh"),
    "Gemm": gemm,
    "GlobalAveragePool": plain(),
    "GlobalLpPool": plain(p=3),
    "GlobalMaxPool": plain(),
    "Greater": constant(ROW.reshape(4, 1, 1)),
    "GreaterOrEqual": constant(ROW.reshape(4, 1, 1)),
    "GroupNormalization": group_norm,
    "HardSigmoid": plain(alpha=0.3),
    "HardSwish": plain(),
    "Identity": plain(),
    "InstanceNormalization": lambda version: (SHAPE, [POSITIVE, ROW], {}),
    "LRN": plain(size=3, alpha=0.5),
    "LayerNormalization": lambda version: ((2, 3, 4), [POSITIVE, ROW], {"axis": -1}),
    "LeakyRelu": plain(alpha=0.2),
    "Less": constant(F(0.25)),
    "LessOrEqual": constant(F(0.25)),
    "Log": plain(),
    "LogSoftmax": plain(axis=3),
    "LpNormalization": plain(axis=2, p=1),
    "LpPool": plain(kernel_shape=[2, 2], p=3),
    "MatMul": constant(RNG.normal(size=(6, 5)).astype(F)),
    "Max": constant(F(0.25)),
    "MaxPool": plain(kernel_shape=[3, 2], pads=[1, 0, 0, 1]),
    "Mean": constant(ROW.reshape(4, 1, 1)),
    "Min": constant(F(0.25)),
    "Mish": plain(),
    "Mul": constant(ROW.reshape(4, 1, 1)),
    "Neg": plain(),
    "PRelu": constant(ROW.reshape(4, 1, 1)),
    "Pad": pad,
    "Pow": constant(F(3)),
    "Reciprocal": plain(),
    "RMSNormalization": lambda version: ((2, 3, 4), [POSITIVE], {"axis": -1}),
    "ReduceL1": axes(18),
    "ReduceL2": axes(18, keepdims=0),
    "ReduceMax": axes(18),
    "ReduceMean": axes(18, keepdims=0),
    "ReduceMin": axes(18),
    "ReduceSum": axes(13),
    "ReduceSumSquare": axes(18),
    "Relu": plain(),
    "Reshape": constant(ints(0, 6, -1)),
    "Resize": resize,
    "Selu": plain(),
    "Shrink": plain(lambd=0.25, bias=0.125),
    "Sigmoid": plain(),
    "Sign": plain(),
    "Slice": cut,
    "Softmax": plain(axis=3),
    "Softplus": plain(),
    "Softsign": plain(),
    "SpaceToDepth": plain(blocksize=2),
    "Split": split,
    "Sqrt": plain(),
    "Squeeze": squeeze,
    "Sub": constant(ROW.reshape(4, 1, 1)),
    "Sum": constant(ROW.reshape(4, 1, 1)),
    "Swish": plain(alpha=0.5),
    "Tanh": plain(),
    "ThresholdedRelu": plain(alpha=0.25),
    "Tile": constant(ints(1, 2, 1, 3)),
    "Transpose": plain(perm=[0, 2, 3, 1]),
    "Unsqueeze": unsqueeze,
    "Upsample": upsample,
}
#: Operators whose inputs must be positive.
POSITIVE_INPUTS = {"Log", "Sqrt", "Reciprocal", "Pow"}
#: Operators whose outputs are truth values.
TRUTHS = {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}
#: Operators of shapes, indices and truth values: they stand beside a signal, or are left out.
APART = {
    "And",
    "ArgMax",
    "DequantizeLinear",
    "GRU",
    "QuantizeLinear",
    "LSTM",
    "Not",
    "OneHot",
    "Or",
    "RNN",
    "ScatterElements",
    "Shape",
    "Size",
    "TopK",
    "Where",
}


def model_of(op, version):
    """(ModelProto, input) of one operator as its schema of `version` writes it."""
    from onnx import TensorProto, helper, numpy_helper

    opset = max(7, version)
    shape, inputs, attributes = EXAMPLES[op](version)
    attributes = dict(attributes)
    count = attributes.pop("outputs", 1)
    names = [v if isinstance(v, str) else f"c{k}" for k, v in enumerate(inputs)]
    initializers = [
        numpy_helper.from_array(np.asarray(v), n) for v, n in zip(inputs, names, strict=True) if not isinstance(v, str)
    ]
    outputs = [f"y{k}" for k in range(count)]
    node = helper.make_node(op, ["x", *names], outputs, name="it", **attributes)
    kind = TensorProto.BOOL if op in TRUTHS else TensorProto.FLOAT
    values = [helper.make_tensor_value_info(n, kind, None) for n in outputs]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape[1:]])]
    # Files of old versions list initializers among the inputs.
    given += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in initializers]
    graph = helper.make_graph([node], "one", given, values, initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    x = np.random.default_rng(5).normal(size=shape).astype(F)
    return made, np.abs(x) + F(0.25) if op in POSITIVE_INPUTS else x


def expected(proto, x):
    """What ONNX Runtime says, or the reference of the `onnx` package where the runtime has no such version."""
    import onnxruntime
    from onnx.reference import ReferenceEvaluator

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if (proto.graph.node[0].op_type, proto.opset_import[0].version) == ("GlobalLpPool", 22):  # which neither has
        proto = model_of("GlobalLpPool", 2)[0]
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x}), "runtime"
    except Exception:  # noqa: BLE001 the runtime has many kinds of refusal
        return ReferenceEvaluator(proto).run(None, {"x": x}), "reference"
