"""Einsum, where it is a product of two matrices, or of stacks of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ....arrays import Array
from ....errors import FormatError
from ....layers import Dense, Identity, MatMul, Reshape, Sum, Transpose
from ..call import Call, Operator, Tensor
from .tables import versions


def _einsum(call: Call) -> Tensor:
    terms, out = _parsed(call)
    if len(terms) == 1:
        return _rearranged(call, call.tensor(), terms[0], out)
    first, second = call.value(0), call.value(1)
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return _of_signals(call, (first, second), terms, out)
    if isinstance(first, Tensor):
        return _by_constant(call, first, call.constant(1), terms, out)
    return _by_constant(call, call.tensor(1), first, (terms[1], terms[0]), out)


def _parsed(call: Call) -> tuple[tuple[str, ...], str]:
    """The labels of each input and of the output, one letter per axis."""
    equation = call.text("equation").replace(" ", "")
    left, arrow, out = equation.partition("->")
    terms = tuple(left.split(","))
    if not arrow:
        labels = left.replace(",", "")
        out = "".join(sorted({c for c in labels if labels.count(c) == 1}))
    ranks = [call.rank(v) if isinstance(v, Tensor) else v.ndim for v in (call.value(k) for k in range(len(call.inputs)))]
    simple = all(t.isalpha() or not t for t in (*terms, out)) and all(len(set(t)) == len(t) for t in (*terms, out))
    if not simple or len(terms) != len(ranks) or len(terms) > 2 or [len(t) for t in terms] != ranks:
        raise FormatError(f"the equation {equation!r} is no product of two matrices (or stacks of them)")
    if not set(out) <= set("".join(terms)):
        raise FormatError(f"the equation {equation!r} has labels in its output that no input has")
    return terms, out


def _batch(call: Call, terms: Sequence[str], out: str) -> str:
    """The label of the batch axis: the first one of all signals and of the output."""
    if not call.lead:
        return ""
    label = terms[0][:1]
    if not label or any(t[:1] != label for t in (*terms, out)):
        raise FormatError("its equation does not keep the batch axis in front of the signals and the output")
    return label


def _ordered(call: Call, x: Tensor, labels: str, wanted: str, part: str) -> Tensor:
    """The axes of a sample in another order."""
    if labels == wanted:
        return x
    return call.emit(Transpose((0, *(labels.index(label) + 1 for label in wanted))), x, part=part)


def _rearranged(call: Call, x: Tensor, labels: str, out: str) -> Tensor:
    lead = len(_batch(call, (labels,), out))
    labels, out = labels[lead:], out[lead:]
    gone = tuple(axis for axis, label in enumerate(labels, start=1) if label not in out)
    x = call.emit(Sum(gone), x, part="sum") if gone else x
    kept = "".join(label for label in labels if label in out)
    return call.emit(Identity(), _ordered(call, x, kept, out, "transpose"))


def _by_constant(call: Call, x: Tensor, weight: Array, terms: Sequence[str], out: str) -> Tensor:
    """A signal times a constant: contracted labels last, then one Dense layer."""
    lead = len(_batch(call, (terms[0],), out))
    labels, own, out = terms[0][lead:], terms[1], out[lead:]
    shared = [label for label in labels if label in own]
    if not shared or any(label in out for label in shared) or any(label in terms[0][:lead] for label in own):
        raise FormatError("its equation is no product of a signal and a constant matrix")
    free = [label for label in own if label not in shared]
    if any(label not in shared and label not in out for label in (*labels, *own)):
        raise FormatError("its equation sums over an axis of one input alone")
    rest = [label for label in labels if label not in shared]
    extents = dict(zip(labels, x.shape, strict=True)) | {label: weight.shape[own.index(label)] for label in free}
    x = _ordered(call, x, labels, "".join((*rest, *shared)), "transpose")
    size = math.prod(extents[label] for label in shared)
    if len(shared) > 1:
        x = call.emit(Reshape((*(extents[label] for label in rest), size)), x, part="flatten")
    matrix = weight.transpose([own.index(label) for label in (*shared, *free)]).reshape(size, -1)
    x = call.emit(Dense(call.parameter(matrix)), x, part="product")
    x = call.emit(Reshape(tuple(extents[label] for label in (*rest, *free))), x, part="unflatten") if len(free) != 1 else x
    return call.emit(Identity(), _ordered(call, x, "".join((*rest, *free)), out, "order"))


def _of_signals(call: Call, factors: tuple[Tensor, Tensor], terms: Sequence[str], out: str) -> Tensor:
    """Two signals: labels of both and of the output are a stack, those of both alone are summed over."""
    lead = len(_batch(call, terms, out))
    first, second, out = terms[0][lead:], terms[1][lead:], out[lead:]
    stack = [label for label in first if label in second and label in out]
    inner = [label for label in first if label in second and label not in out]
    rows, columns = ([c for c in t if c not in stack and c not in inner] for t in (first, second))
    if any(label not in out for label in (*rows, *columns)):
        raise FormatError("its equation sums over an axis of one input alone")
    extents = dict(zip(first, factors[0].shape, strict=True)) | dict(zip(second, factors[1].shape, strict=True))

    def size(labels: Sequence[str]) -> int:
        return math.prod(extents[label] for label in labels)

    heads = tuple(extents[label] for label in stack)
    a = _ordered(call, factors[0], first, "".join((*stack, *rows, *inner)), "first")
    b = _ordered(call, factors[1], second, "".join((*stack, *inner, *columns)), "second")
    a = call.emit(Reshape((*heads, size(rows), size(inner))), a, part="rows")
    b = call.emit(Reshape((*heads, size(inner), size(columns))), b, part="columns")
    x = call.emit(MatMul(), a, b, part="product")
    x = call.emit(Reshape(tuple(extents[label] for label in (*stack, *rows, *columns))), x, part="unflatten")
    return call.emit(Identity(), _ordered(call, x, "".join((*stack, *rows, *columns)), out, "order"))


TABLE: dict[tuple[str, int], Operator] = versions("Einsum", _einsum, 12, 28)
