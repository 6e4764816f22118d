"""Nodes whose inputs are all known at load: the arithmetic that exporters wrap around shapes, in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....arrays import Array, Shape
from ....errors import FormatError
from ..read.tensors import CASTS, LARGEST, check_size
from .builder import BATCH, Value
from .index_constants import gather_constants, gather_elements, gather_nd, identity_like, running_sum, triangle
from .operator_call import Call
from .quantised_constants import dequantize_constant, quantize_constant
from .shape_arithmetic import python_slice, reshape_target, shape_extents, slices, split_sizes


def fold(call: Call) -> Sequence[Value | None] | None:
    """The outputs of a node of constants; None where no function here knows its operator.

    Parameters
    ----------
    call : the node, all inputs of which are known

    Raises
    ------
    FormatError
        Where the constants do not fit, or exceed the budget.
    """
    function = FOLDS.get(call.node.op)
    if function is None:
        return None
    with np.errstate(all="ignore"):  # a division by 0 in a file is the file's business; weights are checked for NaN later
        result = function(call)
    arrays = result if isinstance(result, list) else [np.asarray(result)]
    call.builder.charge(arrays)
    return list(arrays)


def _constants(call: Call) -> list[Array]:
    return [call.constant(index) for index in range(len(call.inputs)) if call.optional(index) is not None]


def _elementwise(function: Callable[..., Any]) -> Callable[[Call], Array]:
    def folded(call: Call) -> Array:
        arrays = _constants(call)
        check_size(np.broadcast_shapes(*(a.shape for a in arrays)), *arrays)
        return np.asarray(function(*arrays))

    return folded


def _accumulate(function: Callable[[Array, Array], Array]) -> Callable[[Call], Array]:
    def folded(call: Call) -> Array:
        first, *others = _constants(call)
        check_size(np.broadcast_shapes(first.shape, *(a.shape for a in others)), first, *others)
        for array in others:
            first = function(first, array)
        return np.asarray(first)

    return folded


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind not in "iu":
        return np.asarray(a / b)
    if (b == 0).any():
        raise FormatError("a division of integers by 0")
    return np.asarray((np.abs(a) // np.abs(b)) * np.sign(a) * np.sign(b)).astype(a.dtype)  # ONNX cuts off towards 0


def _cast(call: Call) -> Array:
    to = call.integer("to")
    if to not in CASTS:
        raise FormatError(f"a constant is cast to element type {to}, which is not read")
    return call.constant(0).astype(CASTS[to])


def _target(call: Call) -> tuple[int, ...]:
    target = call.integer_list(1) if call.version >= 5 else call.integers("shape")
    assert target is not None
    return target


def _reshape(call: Call) -> Array:
    a = call.constant(0)
    return a.reshape(reshape_target(_target(call), a.shape, bool(call.integer("allowzero", 0))))


def _flatten(call: Call) -> Array:
    a, axis = call.constant(0), call.integer("axis", 1)
    return a.reshape(math.prod(a.shape[:axis]), -1 if a.size else math.prod(a.shape[axis:]))


def _squeeze(call: Call) -> Array:
    axes = call.listed(1, "axes", 13)
    return np.squeeze(call.constant(0), axes)


def _unsqueeze(call: Call) -> Array:
    axes = call.listed(1, "axes", 13)
    if axes is None or len(axes) > 32:
        raise FormatError("its axes are missing")
    return np.expand_dims(call.constant(0), axes)


def _transpose(call: Call) -> Array:
    a = call.constant(0)
    return a.transpose(call.integers("perm") if call.has("perm") else None)


def _concat(call: Call) -> Array:
    arrays = _constants(call)
    check_size((sum(a.size for a in arrays),), *arrays)
    return np.concatenate(arrays, axis=call.integer("axis", 1))


def _slice(call: Call) -> Array:
    a = call.constant(0)
    cells = [slice(None)] * a.ndim
    for axis, start, stop, step in slices(call, a.ndim):
        cells[axis] = python_slice(start, stop, step, a.shape[axis])
    return a[tuple(cells)]


def _split(call: Call) -> list[Array]:
    a, axis = call.constant(0), call.integer("axis", 0)
    return list(np.split(a, np.cumsum(split_sizes(call, a.shape[axis]))[:-1], axis=axis))


def _expand(call: Call) -> Array:
    a, to = call.constant(0), call.integer_list(1) or ()
    return np.broadcast_to(a, check_size(_broadcast(a.shape, _without_batch(call, to)), a))  # a view, which others copy


def _broadcast(*shapes: Sequence[int]) -> Shape:
    if any(extent < 0 for shape in shapes for extent in shape) or any(len(shape) > 32 for shape in shapes):
        raise FormatError(f"shapes {', '.join(map(str, shapes))} do not broadcast")
    return tuple(int(extent) for extent in np.broadcast_shapes(*(tuple(shape) for shape in shapes)))


def _without_batch(call: Call, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape whose batch extents are 1: the constant is the same for every sample, and broadcasts."""
    # Where the file fixes the batch's extent, any other axis may have the same: `Call.per_sample` sees then whether rows differ.
    return tuple(1 if call.lead and extent == call.builder.batch == BATCH else extent for extent in shape)


def _tile(call: Call) -> Array:
    a, repeats = call.constant(0), _without_batch(call, call.integer_list(1) or ())
    if len(repeats) != a.ndim:
        raise FormatError(f"{len(repeats)} repeats do not fit {a.ndim} axes")
    check_size([extent * count for extent, count in zip(a.shape, repeats, strict=True)], a)
    return np.tile(a, repeats)


#: How many elements a constant of one number may have: weights of a network without its training are such.
_LARGEST_FILL = 2**27


def _constant_of_shape(call: Call) -> Array:
    shape = _without_batch(call, call.integer_list(0) or ())
    if any(extent < 0 for extent in shape) or math.prod(max(e, 1) for e in shape) > _LARGEST_FILL or len(shape) > 32:
        raise FormatError(f"a constant of shape {shape} is too large, or its shape is not valid")
    value = call.node.attributes.get("value")
    value = np.zeros(1, np.float32) if not isinstance(value, np.ndarray) else value
    return np.broadcast_to(value.reshape(()), shape)  # a view of one number


def _constant(call: Call) -> Array:
    names = ("value", "value_float", "value_floats", "value_int", "value_ints")
    values = [(name, call.node.attributes[name]) for name in names if name in call.node.attributes]
    if len(values) != 1 or len(call.node.attributes) != 1:
        raise FormatError("a Constant needs exactly one dense value of numbers")
    (name, value), integral = values[0], values[0][0].startswith("value_int")
    return np.asarray(value) if name == "value" else np.asarray(value, dtype=np.int64 if integral else np.float32)


def _range(call: Call) -> Array:
    start, stop, step = (call.constant(index).reshape(()) for index in range(3))
    if not step or not all(np.isfinite(x) for x in (start, stop, step)):
        raise FormatError("a Range needs finite numbers and a step other than 0")
    count = max(0, math.ceil((float(stop) - float(start)) / float(step)))
    if count > LARGEST:  # such as the samples of an open batch
        raise FormatError(f"a Range of {'N' if count == BATCH else count} numbers is not computed at load")
    return np.arange(start.item(), stop.item(), step.item()).astype(start.dtype)


def _reduction(function: Callable[..., Any], since: int) -> Callable[[Call], Array]:
    def folded(call: Call) -> Array:
        a, axes = call.constant(0), call.listed(1, "axes", since)
        if not axes and call.integer("noop_with_empty_axes", 0):
            return a
        reduced = np.asarray(function(a, axis=axes or None, keepdims=bool(call.integer("keepdims", 1))))
        return reduced.astype(a.dtype, copy=False)

    return folded


def _mean(a: Array, axis: Any, keepdims: bool) -> Array:
    if not a.size:  # NumPy warns, which is an error where warnings are
        raise FormatError(f"a mean over an empty array, of shape {a.shape}")
    return np.asarray(np.mean(a, axis=axis, keepdims=keepdims))


def _sum_of_squares(a: Array, axis: Any, keepdims: bool) -> Array:
    return np.asarray((a * a).sum(axis=axis, keepdims=keepdims))


def _norm(p: int) -> Callable[..., Array]:
    def length(a: Array, axis: Any, keepdims: bool) -> Array:
        return np.sqrt(_sum_of_squares(a, axis, keepdims)) if p == 2 else np.asarray(abs(a).sum(axis=axis, keepdims=keepdims))

    return length


def _clip(call: Call) -> Array:
    a = call.constant(0)
    bounds = [call.optional_constant(1), call.optional_constant(2)]
    if call.version < 11:
        bounds = [np.float32(call.number(name, default)) for name, default in (("min", -3.4e38), ("max", 3.4e38))]  # type: ignore[misc]
    for bound, function in zip(bounds, (np.maximum, np.minimum), strict=True):
        a = a if bound is None else function(a, np.asarray(bound).astype(a.dtype))
    return a


def _mod(call: Call) -> Array:
    a, b = call.constant(0), call.constant(1)
    check_size(np.broadcast_shapes(a.shape, b.shape), a, b)
    if a.dtype.kind in "iu" and (b == 0).any():
        raise FormatError("a remainder of integers by 0")
    return np.asarray(np.fmod(a, b) if call.integer("fmod", 0) else np.mod(a, b))


FOLDS: dict[str, Callable[[Call], Array | list[Array]]] = {
    "Abs": _elementwise(np.abs),
    "Add": _elementwise(np.add),
    "And": _elementwise(np.logical_and),
    "Cast": _cast,
    "CastLike": lambda call: call.constant(0).astype(call.constant(1).dtype),
    "Ceil": _elementwise(np.ceil),
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Cos": _elementwise(np.cos),
    "CumSum": running_sum,
    "DequantizeLinear": dequantize_constant,
    "Div": _elementwise(_divide),
    "Equal": _elementwise(np.equal),
    "EyeLike": identity_like,
    "Exp": _elementwise(np.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _elementwise(np.floor),
    "Gather": gather_constants,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "Greater": _elementwise(np.greater),
    "GreaterOrEqual": _elementwise(np.greater_equal),
    "Identity": lambda call: call.constant(0),
    "Less": _elementwise(np.less),
    "LessOrEqual": _elementwise(np.less_equal),
    "Log": _elementwise(np.log),
    "Max": _accumulate(np.maximum),
    "Min": _accumulate(np.minimum),
    "Mod": _mod,
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Not": _elementwise(np.logical_not),
    "Or": _elementwise(np.logical_or),
    "Pow": _elementwise(lambda a, b: np.power(a.astype(np.float64), b).astype(a.dtype)),
    "QuantizeLinear": quantize_constant,
    "Range": _range,
    "Reciprocal": _elementwise(lambda a: 1 / a),
    "ReduceL1": _reduction(_norm(1), 18),
    "ReduceL2": _reduction(_norm(2), 18),
    "ReduceMax": _reduction(np.max, 18),
    "ReduceMean": _reduction(_mean, 18),
    "ReduceMin": _reduction(np.min, 18),
    "ReduceProd": _reduction(np.prod, 18),
    "ReduceSum": _reduction(np.sum, 13),
    "ReduceSumSquare": _reduction(_sum_of_squares, 18),
    "Reshape": _reshape,
    "Round": _elementwise(np.round),
    "Shape": lambda call: shape_extents(call, call.constant(0).shape),
    "Sign": _elementwise(np.sign),
    "Sin": _elementwise(np.sin),
    "Size": lambda call: np.asarray(call.constant(0).size, dtype=np.int64),
    "Slice": _slice,
    "Split": _split,
    "Sqrt": _elementwise(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Sum": _accumulate(np.add),
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": triangle,
    "Unsqueeze": _unsqueeze,
    "Where": _elementwise(np.where),
    "Xor": _elementwise(np.logical_xor),
}
