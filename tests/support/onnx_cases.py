"""The node cases of the `onnx` package, each tried in every way in which its inputs can be signals or constants."""

import warnings
from dataclasses import dataclass, field

import numpy as np

#: Operators beyond the list that exporters write beside those that are on it.
BESIDE = frozenset(
    {
        "And", "Ceil", "CastLike", "Cos", "CumSum", "Equal", "EyeLike", "Floor", "GatherElements", "GatherND",
        "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Mod", "Not", "Or", "Range", "ReduceL1", "ReduceL2",
        "ReduceMin", "ReduceProd", "ReduceSumSquare", "Round", "Sign", "Sin", "Size", "Swish", "Trilu", "Where",
        "Xor",
    }
)  # fmt: skip
LISTED = frozenset(
    [
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Celu",
        "Gelu",
        "Shrink",
        "Sigmoid",
        "ThresholdedRelu",
        "HardSigmoid",
        "HardSwish",
        "Mish",
        "Tanh",
        "Softplus",
        "Softsign",
        "Clip",
        "Erf",
        "Exp",
        "Log",
        "Sqrt",
        "Pow",
        "Abs",
        "Neg",
        "Reciprocal",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Sum",
        "Mean",
        "Max",
        "Min",
        "MaxPool",
        "AveragePool",
        "LpPool",
        "GlobalMaxPool",
        "GlobalAveragePool",
        "GlobalLpPool",
        "BatchNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "LpNormalization",
        "RMSNormalization",
        "ReduceL1",
        "ReduceL2",
        "ReduceMin",
        "ReduceSumSquare",
        "GroupNormalization",
        "LRN",
        "Dropout",
        "Identity",
        "Cast",
        "Flatten",
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Expand",
        "Tile",
        "Concat",
        "Split",
        "Slice",
        "Gather",
        "Pad",
        "Resize",
        "Upsample",
        "ReduceMean",
        "ReduceSum",
        "ReduceMax",
        "Softmax",
        "LogSoftmax",
        "Constant",
        "ConstantOfShape",
        "Shape",
        "DepthToSpace",
        "SpaceToDepth",
        "Einsum",
        "ArgMax",
        "TopK",
    ]
)
#: Inputs that are always parameters: their first inputs are signals.
_FLOATS = {1, 11}
_LOW = (
    {10: "float16", 16: "bfloat16"}
    | dict.fromkeys((17, 18, 19, 20, 23, 24, 25, 26), "8 bits or fewer")
    | dict.fromkeys((21, 22), "4 bits")
)


@dataclass
class Outcome:
    """How a case went: the ways in which it passed, what was wrong, or why it is out of scope."""

    passed: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    reasons: list = field(default_factory=list)

    @property
    def verdict(self):
        return "wrong" if self.wrong else "passed" if self.passed else "out of scope"


def collected(operators=LISTED):
    """All node cases of these operators, with those that are written out in them (the "expanded" ones)."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    cases = [
        c
        for c in found
        if {n.op_type for n in c.model.graph.node} <= operators and all(n.domain in ("", "ai.onnx") for n in c.model.graph.node)
    ]
    return sorted(cases, key=lambda c: c.name)


def kind_of(value):
    return value.type.tensor_type.elem_type if value.type.HasField("tensor_type") else 0


def fixed(model, names, arrays):
    """The model with the inputs `names` as initializers."""
    import onnx
    from onnx import numpy_helper

    made = onnx.ModelProto()
    made.CopyFrom(model)
    kept = [v for v in made.graph.input if v.name not in names]
    del made.graph.input[:]
    made.graph.input.extend(kept)
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(arrays[name]), name) for name in sorted(names))
    return made


def ways(model):
    """Sets of inputs that are signals: all floating ones, the first, and each alone."""
    floats = [v.name for v in model.graph.input if kind_of(v) in _FLOATS]
    found = [tuple(floats)] + [(name,) for name in floats]
    return list(dict.fromkeys(w for w in found if w))


def tried(case):
    """Load and run a case in every way; what loads must give the stored outputs."""
    outcome = Outcome()
    kinds = {kind_of(v) for v in (*case.model.graph.input, *case.model.graph.output)}
    if low := kinds & set(_LOW):
        outcome.reasons.append(f"low precision ({', '.join(_LOW[k] for k in low)})")
        return outcome
    if 8 in kinds:
        outcome.reasons.append("texts")
        return outcome
    _fold(case, outcome)
    for signals in ways(case.model):
        for batched in (True, False):
            for outputs in (None, case.model.graph.output[0].name):
                _try(case, signals, batched, outputs, outcome)
    return outcome


def _array(value):
    """A stored value as an array; sequences and optional values stay what they are."""
    import onnx
    from onnx import numpy_helper

    value = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
    return np.asarray(value) if isinstance(value, (np.generic, int, float)) else value


def _given(case):
    arrays, expected = case.data_sets[0]
    names = [v.name for v in case.model.graph.input], [v.name for v in case.model.graph.output]
    return [
        {k: _array(a) for k, a in zip(keys, values, strict=True)} for keys, values in zip(names, (arrays, expected), strict=True)
    ]


def _fold(case, outcome):
    """The case as arithmetic on constants, which exporters write around shapes."""
    from lrp_ref.errors import LrpError
    from lrp_ref.formats.onnx.read import reader
    from lrp_ref.formats.onnx.translate import constant_folding, nodes, operators, schemas
    from lrp_ref.formats.onnx.translate.builder import Builder

    arrays, expected = _given(case)
    if not all(isinstance(a, np.ndarray) for a in (*arrays.values(), *expected.values())):
        outcome.reasons.append("sequences or optional values")
        return
    try:
        record = reader.parse_graph(case.model, reader.Store(reader.BUDGET))
        values = dict(arrays)
        builder = Builder(np.dtype(np.float32), reader.BUDGET, None, record.opset)
        nodes.translate_nodes(
            record.nodes,
            values,
            builder,
            schemas.versions_of(record.nodes, record.opset),
            operators.OPERATORS,
            constant_folding.fold,
        )
    except LrpError as error:
        outcome.reasons.append(f"constants: {error}")
        return
    for name, want in expected.items():
        if isinstance(values[name], nodes.MissingValue):
            outcome.reasons.append(values[name].why)
        elif complaint := differs(values[name], want, case):
            outcome.wrong.append(f"constants: {name} {complaint}")
        else:
            outcome.passed.append("constants")


def differs(got, want, case):
    """How a value differs from the stored one, an empty text where it does not."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return f"has shape {got.shape} for {want.shape}"
    if np.allclose(got, want, rtol=max(case.rtol, 1e-5), atol=max(case.atol, 1e-6), equal_nan=True):
        return ""
    return f"differs by {np.nanmax(np.abs(got.astype(float) - want.astype(float))):.3g}"


def _as_filed(model, name, array, shape):
    """An output with its batch where the file has it; behind axes that the file folds into the batch, in the file's shape."""
    if any(r.startswith(f"output {name!r}") and "folded" in r for r in model.remarks) and array.size == np.prod(shape):
        return array.reshape(shape)
    said = [r.split("along axis ")[1].split(" ")[0] for r in model.remarks if r.startswith(f"output {name!r} has its batch")]
    return np.moveaxis(array, 0, int(said[0])) if said else array


def _try(case, signals, batched, outputs, outcome):
    from lrp_ref.errors import LrpError
    from lrp_ref.formats import onnx as reader

    arrays, stored = _given(case)
    tag = f"{','.join(signals)} {'batched' if batched else 'single'}"
    try:
        model = reader.load(fixed(case.model, set(arrays) - set(signals), arrays), batched=batched, outputs=outputs)
        found = model({name: arrays[name] if batched else arrays[name][None] for name in model.inputs})
    except LrpError as error:
        outcome.reasons.append(str(error))
        return
    found = found if isinstance(found, dict) else {model.outputs[0]: found}
    for name, array in found.items():
        if name not in stored:  # indices are left out for what they are picked from
            outcome.reasons.append("indices are left out")
        elif complaint := differs(
            _as_filed(model, name, array, np.shape(stored[name])) if batched else array[0], stored[name], case
        ):
            outcome.wrong.append(f"{tag}: {name} {complaint}")
        else:
            outcome.passed.append(tag)
