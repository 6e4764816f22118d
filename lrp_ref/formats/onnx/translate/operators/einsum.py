"""Einsum, where it is a product of two matrices or stacks of matrices, or rearranges and sums one signal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .....arrays import Array
from .....errors import FormatError
from .....layers import Dense, Gather, Identity, MatMul, Reshape, Scale, StackedDense, Sum, Transpose
from ..builder import Tensor, Value
from ..operator_call import Call
from ..registry import Operator, versions

#: Labels for the axes that an ellipsis stands for; no equation can contain them.
_UNNAMED = "αβγδεζηθικλμνξοπρστυφχψω"


def _einsum(call: Call) -> Tensor:
    terms, out = _parsed(call)
    values = [call.value(index) for index in range(len(terms))]
    batch = _batch(call, [t for t, v in zip(terms, values, strict=True) if isinstance(v, Tensor)], out)
    operands = []
    for number, (term, value) in enumerate(zip(terms, values, strict=True)):
        if not isinstance(value, Tensor) and batch and batch in term:
            raise FormatError("its equation multiplies samples by constants that differ from sample to sample")
        elsewhere = {*out, *(label for k, other in enumerate(terms) if k != number for label in other)}
        operands.append(
            _simplified(call, value, term.removeprefix(batch) if isinstance(value, Tensor) else term, elsewhere, number)
        )
    out = out.removeprefix(batch)
    if len(operands) == 1:
        (x, labels) = operands[0]
        assert isinstance(x, Tensor)
        return call.emit(Identity(), _ordered(call, x, labels, out, "transpose"))
    (first, one), (second, two) = operands
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return _of_signals(call, (first, second), (one, two), out)
    if isinstance(first, Tensor):
        assert not isinstance(second, Tensor)
        return _by_constant(call, first, second, (one, two), out)
    assert isinstance(second, Tensor)
    return _by_constant(call, second, first, (two, one), out)


def _parsed(call: Call) -> tuple[list[str], str]:
    """The labels of each input and of the output, one letter per axis."""
    equation = call.text("equation").replace(" ", "")
    left, arrow, out = equation.partition("->")
    terms = left.split(",")
    ranks = [call.rank(v) if isinstance(v, Tensor) else v.ndim for v in (call.value(k) for k in range(len(call.inputs)))]
    if len(terms) != len(ranks) or len(terms) > 2:
        raise FormatError(f"the equation {equation!r} is no product of two matrices (or stacks of them)")
    widths = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    if not arrow:
        labels = left.replace(",", "").replace("...", "")
        out = "..." * ("..." in left) + "".join(sorted({c for c in labels if labels.count(c) == 1}))
    most = max((w for t, w in zip(terms, widths, strict=True) if "..." in t), default=0)
    if not 0 <= most <= len(_UNNAMED):
        raise FormatError(f"the equation {equation!r} does not fit inputs of {ranks} axes")
    unnamed = _UNNAMED[:most]
    terms = [t.replace("...", unnamed[most - max(w, 0) :], 1) for t, w in zip(terms, widths, strict=True)]
    out = out.replace("...", unnamed, 1)
    simple = all(t.isalpha() or not t for t in (*terms, out)) and len(set(out)) == len(out) and set(unnamed) <= set(out)
    if not simple or [len(t) for t in terms] != ranks:
        raise FormatError(f"the equation {equation!r} does not fit inputs of {ranks} axes")
    if not set(out) <= set("".join(terms)):
        raise FormatError(f"the equation {equation!r} has labels in its output that no input has")
    return terms, out


def _batch(call: Call, terms: Sequence[str], out: str) -> str:
    """The label of the batch axis: the first one of all signals and of the output, and nowhere else."""
    if not call.lead:
        return ""
    label = terms[0][:1]
    if not label or any(t[:1] != label or t.count(label) != 1 for t in (*terms, out)):
        raise FormatError("its equation does not keep the batch axis in front of the signals and the output")
    return label


def _simplified(call: Call, value: Value, labels: str, elsewhere: set[str], number: int) -> tuple[Value, str]:
    """An input with each label once (its diagonal), and without those that stand nowhere else (added up)."""
    labels_left = "".join(label for label in dict.fromkeys(labels) if label in elsewhere)
    if not isinstance(value, Tensor):
        letters = {label: index for index, label in enumerate(dict.fromkeys(labels))}
        return np.einsum(value, [letters[c] for c in labels], [letters[c] for c in labels_left]), labels_left
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            value, labels = _diagonal(call, value, labels, label, f"{number}_{label}")
    gone = tuple(axis for axis, label in enumerate(labels, start=1) if label not in elsewhere)
    return (call.emit(Sum(gone), value, suffix=f"sum_{number}") if gone else value), labels_left


def _diagonal(call: Call, x: Tensor, labels: str, label: str, suffix: str) -> tuple[Tensor, str]:
    """The cells whose positions along the first two axes of `label` are the same, along one axis in the first one's place."""
    first = labels.index(label)
    second = labels.index(label, first + 1)
    extent = x.shape[first]
    if x.shape[second] != extent:
        raise FormatError(f"the label {label!r} stands for axes of {extent} and {x.shape[second]} cells")
    order = [axis for axis in range(len(labels)) if axis != second]
    order.insert(first + 1, second)
    if order != sorted(order):
        x = call.emit(Transpose((0, *(axis + 1 for axis in order))), x, suffix=f"pair_{suffix}")
    x = call.emit(Reshape((*x.shape[:first], extent * extent, *x.shape[first + 2 :])), x, suffix=f"square_{suffix}")
    x = call.emit(Gather(tuple(range(0, extent * extent, extent + 1)), first + 1), x, suffix=f"diagonal_{suffix}")
    return x, labels[:second] + labels[second + 1 :]


def _ordered(call: Call, x: Tensor, labels: str, order: str, suffix: str) -> Tensor:
    """The axes of a sample in another order."""
    if labels == order:
        return x
    return call.emit(Transpose((0, *(labels.index(label) + 1 for label in order))), x, suffix=suffix)


def _label_groups(one: str, two: str, out: str) -> tuple[str, str, str, str]:
    """The labels of a product: the stack (of both inputs and the output), the rows, what is added up, the columns."""
    stack = "".join(label for label in one if label in two and label in out)
    inner = "".join(label for label in one if label in two and label not in out)
    rows, columns = ("".join(c for c in t if c not in stack and c not in inner) for t in (one, two))
    return stack, rows, inner, columns


def _extents(terms: Sequence[str], shapes: Sequence[Sequence[int]]) -> dict[str, int]:
    extents: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, extent in zip(term, shape, strict=True):
            if extents.setdefault(label, extent) != extent:
                raise FormatError(f"axes of {extents[label]} and {extent} cells meet, which is not supported")
    return extents


def _by_constant(call: Call, x: Tensor, weight: Array, terms: Sequence[str], out: str) -> Tensor:
    """A signal times a constant: the labels that are added up last, then one dense layer, or one for each cell of the stack."""
    stack, rows, inner, columns = _label_groups(terms[0], terms[1], out)
    extents = _extents(terms, (x.shape, weight.shape))

    def size(labels: str) -> int:
        return math.prod(extents[label] for label in labels)

    x = _ordered(call, x, terms[0], stack + rows + inner, "transpose")
    if not inner and not columns:
        factors = weight.transpose([terms[1].index(label) for label in stack])
        x = call.emit(Scale(call.parameter(factors.reshape(*factors.shape, *(1 for _ in rows)))), x, suffix="product")
        return call.emit(Identity(), _ordered(call, x, stack + rows, out, "order"))
    matrices = weight.transpose([terms[1].index(label) for label in stack + inner + columns])
    matrices = call.parameter(matrices.reshape(*(extents[c] for c in stack), size(inner), size(columns)))
    # A stack needs its rows along one axis; a dense layer takes any axes in front of the last.
    before = [extents[c] for c in stack] + [size(rows)] if stack else [extents[c] for c in rows]
    lower = (*before, size(inner))
    x = x if x.shape == lower else call.emit(Reshape(lower), x, suffix="flatten")
    x = call.emit(StackedDense(matrices) if stack else Dense(matrices), x, suffix="product")
    sample_shape = tuple(extents[c] for c in stack + rows + columns)
    x = x if x.shape == sample_shape else call.emit(Reshape(sample_shape), x, suffix="unflatten")
    return call.emit(Identity(), _ordered(call, x, stack + rows + columns, out, "order"))


def _of_signals(call: Call, factors: tuple[Tensor, Tensor], terms: tuple[str, str], out: str) -> Tensor:
    """Two signals: labels of both and of the output are a stack, those of both alone are added up."""
    stack, rows, inner, columns = _label_groups(*terms, out)
    extents = _extents(terms, [factor.shape for factor in factors])

    def size(labels: str) -> int:
        return math.prod(extents[label] for label in labels)

    heads = tuple(extents[label] for label in stack)
    a = _ordered(call, factors[0], terms[0], stack + rows + inner, "first")
    b = _ordered(call, factors[1], terms[1], stack + inner + columns, "second")
    a = call.emit(Reshape((*heads, size(rows), size(inner))), a, suffix="rows")
    b = call.emit(Reshape((*heads, size(inner), size(columns))), b, suffix="columns")
    x = call.emit(MatMul(), a, b, suffix="product")
    x = call.emit(Reshape(tuple(extents[label] for label in stack + rows + columns)), x, suffix="unflatten")
    return call.emit(Identity(), _ordered(call, x, stack + rows + columns, out, "order"))


TABLE: dict[tuple[str, int], Operator] = versions("Einsum", _einsum, 12, 28)
