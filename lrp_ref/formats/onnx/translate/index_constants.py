"""Constants picked, masked and added up: what exporters write where a network indexes with shapes."""

from __future__ import annotations

import numpy as np

from ....arrays import Array
from ....errors import FormatError
from ..read.tensors import CASTS, check_size
from .operator_call import Call


def gather_constants(call: Call) -> Array:
    """A Gather of constants: slices of an array along one axis."""
    a, indices, axis = call.constant(0), call.constant(1), call.integer("axis", 0)
    axis = axis + a.ndim if axis < 0 else axis
    check_size((*a.shape[:axis], *indices.shape, *a.shape[axis + 1 :]), a, indices)
    return a.take(indices.astype(np.int64), axis=axis)


def triangle(call: Call) -> Array:
    """A Trilu of a constant: a matrix with zeros on one side of a diagonal."""
    a, shift = call.constant(0), call.optional_constant(1)
    k = 0 if shift is None else int(shift.reshape(()))
    return np.asarray(np.triu(a, k) if call.integer("upper", 1) else np.tril(a, k))


def identity_like(call: Call) -> Array:
    """An EyeLike: ones on a diagonal, in the shape of a matrix.

    Raises
    ------
    FormatError
        Where the array is no matrix.
    """
    a = call.constant(0)
    if a.ndim != 2:
        raise FormatError(f"an identity matrix needs an array of two axes, found shape {a.shape}")
    rows, columns = check_size(a.shape, a)
    dtype = np.dtype(CASTS[call.integer("dtype")] if call.has("dtype") else a.dtype)
    return np.asarray(np.eye(rows, columns, call.integer("k", 0)), dtype=dtype)


def running_sum(call: Call) -> Array:
    """A CumSum of a constant, in either direction, with or without the element itself."""
    a, axis = call.constant(0), int(call.constant(1).reshape(()))
    a = np.flip(a, axis) if call.integer("reverse", 0) else a
    sums = np.cumsum(a, axis, dtype=a.dtype) - (a if call.integer("exclusive", 0) else 0)
    return np.asarray(np.flip(sums, axis) if call.integer("reverse", 0) else sums).astype(a.dtype, copy=False)


def gather_elements(call: Call) -> Array:
    """A GatherElements of constants: one element for each index along one axis."""
    return np.take_along_axis(call.constant(0), call.constant(1).astype(np.int64), call.integer("axis", 0))


def gather_nd(call: Call) -> Array:
    """A GatherND of constants: elements, or slices, at positions along several axes.

    Raises
    ------
    FormatError
        Where it picks with batch_dims, or along more axes than its input has.
    """
    a, indices = call.constant(0), call.constant(1).astype(np.int64)
    if call.integer("batch_dims", 0) or not 0 < indices.shape[-1] <= a.ndim:
        raise FormatError("it picks with batch_dims, or along more axes than its input has")
    check_size((*indices.shape[:-1], *a.shape[indices.shape[-1] :]), a, indices)
    return np.asarray(a[tuple(np.moveaxis(indices, -1, 0))])
