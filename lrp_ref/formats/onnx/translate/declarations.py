"""Declarations of inputs: which axis is the batch, of what shape samples are, and which extents are left open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ....arrays import Shape
from ....errors import FormatError, unknown
from ..read.onnx_graph import InputDeclaration
from ..read.tensors import CASTS, FLOATS, kind_name
from .builder import BATCH, Tensor

#: Extents that are tried where a file leaves them open, until the network can be laid out: exporters' usual sides first.
CANDIDATES = (64, 224, 32, 320, 48, 96, 512, 576, 16, 7)


def batch_axes_of(batch_axis: Any, inputs: Sequence[InputDeclaration]) -> dict[str, int]:
    """The batch axis of each input: 0 where nothing else is told, and of an input with no other axis.

    Parameters
    ----------
    batch_axis : what the user says, for all inputs or by name
    inputs : those that the model reads

    Raises
    ------
    FormatError
        Where the names or numbers of an input's extents say that its batch is elsewhere, and `batch_axis` says nothing.
    """
    ranks = {value.name: None if value.dims is None else len(value.dims) for value in inputs}
    if isinstance(batch_axis, Mapping):
        axes = dict(batch_axis)
    elif batch_axis is None:
        axes = {}
    else:
        axes = {name: 0 if rank == 1 else batch_axis for name, rank in ranks.items()}
    for name, axis in axes.items():
        if name not in ranks:
            raise FormatError(str(unknown("input", name, ranks)))
        rank = ranks[name]
        if type(axis) is not int or axis < 0 or (axis and (rank is None or axis >= rank)):
            raise FormatError(f"batch_axis = {axis!r} is no axis of input {name!r}, which has {rank} axes")
    elsewhere = {name: axis for name, axis in _guess_batch_axes(inputs, axes).items() if axis and name not in axes}
    if elsewhere:
        first = next(iter(elsewhere))
        states = {value.name: 0 for value in inputs if value.name in elsewhere and value.kind in FLOATS}
        raise FormatError(
            f"input {first!r} seems to have its batch along axis {elsewhere[first]}: if so, give batch_axis={elsewhere} (the "
            "model then takes it with the batch first); if the first axis is the batch, give "
            f"batch_axis={dict.fromkeys(elsewhere, 0)}" + (f"; fix={states} sets a state to 0 instead" if states else "")
        )
    return dict.fromkeys(ranks, 0) | axes


def _guess_batch_axes(inputs: Sequence[InputDeclaration], axes: Mapping[str, int]) -> dict[str, int]:
    """The batch axis of every input, by the names and numbers of its extents."""
    first = [(v.symbols[axes.get(v.name, 0)], v.dims[axes.get(v.name, 0)]) for v in inputs if v.dims]
    symbols = [symbol for symbol, _ in first if symbol]
    symbol = max(symbols, key=symbols.count) if symbols else None
    is_open = any(extent is None for _, extent in first)
    extents = {extent for _, extent in first if extent is not None}
    shared = [
        e for e in sorted(extents) if not is_open and len(extents) > 1 and all(_axis_of_extent(v, e) is not None for v in inputs)
    ]
    batch_axes = {}
    for value in inputs:
        axis: int | None = 0
        if value.dims and symbol and value.symbols[0] != symbol and value.symbols.count(symbol) == 1:
            axis = value.symbols.index(symbol)
        elif value.dims and is_open and value.dims[0] is not None and value.dims.count(None) == 1 and len(inputs) > 1:
            axis = value.dims.index(None)
        elif len(shared) == 1:
            axis = _axis_of_extent(value, shared[0])
        batch_axes[value.name] = axis or 0
    return batch_axes


def _axis_of_extent(value: InputDeclaration, extent: int) -> int | None:
    """The axis of an input that can be a batch of `extent`: the first, or the only one that has it."""
    if not value.dims:
        return None
    if value.dims[0] == extent:
        return 0
    return value.dims.index(extent) if value.dims.count(extent) == 1 else None


def declare_batch_first(value: InputDeclaration, axis: int) -> InputDeclaration:
    """The declaration with the batch in front."""
    if value.dims is None:
        return value
    order = (axis, *(k for k in range(len(value.dims)) if k != axis))
    dims, symbols = tuple(value.dims[k] for k in order if value.dims), tuple(value.symbols[k] for k in order if value.dims)
    return replace(value, dims=dims, symbols=symbols)


def batch_extent(inputs: Sequence[InputDeclaration]) -> int:
    """The extent that stands for the batch axis: the one that the file fixes, or the symbol `BATCH`.

    Parameters
    ----------
    inputs : declared with the batch in front

    Raises
    ------
    FormatError
        Where an input has no axis, or their first extents differ.
    """
    extents = {value.dims[0] for value in inputs if value.dims}
    for value in inputs:
        if value.dims == ():
            raise FormatError(
                f"input {value.name!r} is a single number and has no batch axis: fix={{{value.name!r}: …}} sets it to a value; "
                "batched=False gives every input a batch axis"
            )
    fixed = extents - {None, 0}
    if len(fixed) > 1:
        raise FormatError(
            f"the inputs' first extents differ ({sorted(map(str, fixed))}): they are no batch; batch_axis= says which axis "
            "of each input is the batch, and batched=False gives them one"
        )
    # Where one input leaves the batch open, so do all.
    return next(iter(fixed)) if fixed and None not in extents else BATCH  # type: ignore[return-value]


def shapes_by_input(input_shape: Any, names: Sequence[str]) -> dict[str, Shape]:
    """The shapes of inputs by their names, from what a user says.

    Parameters
    ----------
    input_shape : a mapping, one shape for the only input, or None
    names : of the inputs

    Raises
    ------
    FormatError
        Where it names an input that does not exist, or is one shape for several inputs.
    """
    if input_shape is None:
        return {}
    if isinstance(input_shape, Mapping):
        for name in input_shape:
            if name not in names:
                raise FormatError(str(unknown("input", name, names)))
        return {name: tuple(int(extent) for extent in shape) for name, shape in input_shape.items()}
    if len(names) != 1:
        raise FormatError(f"input_shape must be a mapping from the inputs {', '.join(names)}")
    return {names[0]: tuple(int(extent) for extent in input_shape)}


def sample_shape(value: InputDeclaration, input_shape: Shape | None, batched: bool) -> Shape:
    """The shape of one sample of an input, checked against its declaration.

    Parameters
    ----------
    value : the declaration, with the batch in front
    input_shape : what the user says; None: what the file declares
    batched : whether the first axis is the batch

    Raises
    ------
    FormatError
        Where the input holds no numbers, the shapes do not fit, or extents are open.
    """
    if value.kind not in FLOATS and value.kind not in CASTS:
        raise FormatError(f"input {value.name!r} holds {kind_name(value.kind)} values; only numbers can be explained")
    declared = _sample(value, batched)
    if input_shape is not None:
        fits = declared is None or (
            len(declared) == len(input_shape) and all(d in (None, 0, g) for d, g in zip(declared, input_shape, strict=True))
        )
        if not fits or min(input_shape, default=1) < 1:
            raise FormatError(
                f"input_shape {input_shape} does not fit input {value.name!r}, which the file declares as {declared}"
            )
        return input_shape
    if declared is None or None in declared or 0 in declared:
        raise FormatError(open_message([value], batched))
    return tuple(extent for extent in declared if extent is not None)


def _sample(value: InputDeclaration, batched: bool) -> tuple[int | None, ...] | None:
    return None if value.dims is None else value.dims[1:] if batched else value.dims


def open_message(values: Sequence[InputDeclaration], batched: bool) -> str:
    """The message for inputs whose shapes are not known."""
    listed = []
    for value in values:
        declared = _sample(value, batched)
        shown = "any shape" if declared is None else f"shape ({', '.join('?' if not d else str(d) for d in declared)})"
        listed.append(f"input {value.name!r} has samples of {shown}")
    return f"{', '.join(listed)}: give input_shape=, the shape of one sample"


def is_open(value: InputDeclaration, batched: bool) -> bool:
    """Whether the file leaves an extent of a sample open, of a known number of axes."""
    declared = _sample(value, batched)
    return declared is not None and any(not extent for extent in declared)


def candidate_shapes(
    inputs: Sequence[InputDeclaration], batched: bool, sizes: Iterable[int] = CANDIDATES
) -> Iterator[dict[str, Shape]]:
    """The shapes to try for inputs with open extents, one size after the other; extents of one name are equal.

    Parameters
    ----------
    inputs : with the batch in front
    batched : whether the first axis is the batch
    sizes : in the order in which they are tried
    """
    for size in sizes:
        yield {
            value.name: tuple(extent or size for extent in _sample(value, batched) or ())
            for value in inputs
            if is_open(value, batched)
        }


def batch_axis_remarks(inputs: Mapping[str, int], outputs: Sequence[str], values: Mapping[str, Any]) -> tuple[str, ...]:
    """The remarks on inputs and outputs that have their batch elsewhere in the file than in the model.

    Parameters
    ----------
    inputs : the batch axis of each
    outputs : their names, under which `values` has their tensors
    """
    descriptions = {f"input {name!r}": f"along axis {axis}" for name, axis in inputs.items() if axis}
    for name in outputs:
        value = values[name]
        if isinstance(value, Tensor) and (value.batch_axis or value.before or value.behind):
            folded = "folded into" if value.before or value.behind else "along"
            descriptions[f"output {name!r}"] = f"{folded} axis {value.batch_axis}"
    return tuple(f"{what} has its batch {where} in the file, and along axis 0 here" for what, where in descriptions.items())
