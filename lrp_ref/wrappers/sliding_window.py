"""Sliding windows: explaining inputs that are larger than what the network takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, Shape, frozen, integer, like, zeros
from ..errors import ParameterError, ShapeError, TargetError, unknown
from ..explainer import Explainer
from ..propagate.explanation import Explanation
from ..propagate.targets import indices, several, spelled
from .axes import moved_axes, only_input, per_axis, storable

EDGES = ("fit", "flush", "drop")
#: A sample and a window of it.
Place = tuple[int, int]


@dataclass(frozen=True, eq=False, repr=False)
class Windowed(Explanation):
    """The sum of the explanations of windows, each in its place.

    `value` and `prediction` are sums over the windows too.

    Attributes
    ----------
    corners : where each window begins, (S, axes)
    window : the windows' extents
    window_values : of each window, (N, S) or (N, S, T)
    residuals : of each window in the same shape: Σ R = Σ_s window_values − Σ_s residuals; None where the method conserves nothing
    counts : how many windows see each cell, in the extents of the axes that they move along
    """

    corners: Array = None  # type: ignore[assignment]
    window: Shape = ()
    window_values: Array = None  # type: ignore[assignment]
    residuals: Array | None = None
    counts: Array = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("corners", "window_values", "residuals", "counts"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, frozen(np.asarray(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.corners, self.window, self.window_values, self.residuals, self.counts)
        return Windowed, (*super().__reduce__()[1], *fields)

    def arrays(self) -> dict[str, Array]:
        """Everything but the ledger as named arrays, as `save` writes them."""
        more = {"corners": self.corners, "window_values": self.window_values, "counts": self.counts}
        more |= {} if self.residuals is None else {"residuals": self.residuals}
        return super().arrays() | storable(more)

    def _facts(self) -> list[tuple[str, str]]:
        return [*super()._facts(), ("sum over", f"{len(self.corners)} windows of {self.window}")]


def sliding_window(
    explainer: Explainer,
    x: Any,
    *,
    stride: int | Sequence[int],
    window: int | Sequence[int] | None = None,
    edges: str = "fit",
    axes: int | Sequence[int] | None = None,
    target: Any = None,
    targets: Any = None,
    contrast: Any = None,
    batch: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> Windowed:
    r"""Explain inputs that are larger than the network's, window by window (Montavon et al. 2018, §6.5).

    .. math:: g(X) = \sum_{s \in \mathcal S} f(X[s])

    Each window's relevance is added to the map where the window is. All windows explain the same target: an index, one for
    each sample, "all", or "predicted", which is decided on the sum of all windows' scores (a forward pass of its own).

    Parameters
    ----------
    explainer : of a model of one input
    x : (N, C, *spatial)
    stride : how far apart windows are; an int, or one for each axis
    window : their extents; an int, or one for each axis; None: the model's `input_shape`
    edges : what happens where the windows do not end with the input. "fit": an error. "flush": a last window ends with it, nearer
        to its neighbour than the stride. "drop": what no window sees gets no relevance, and a 0 in `counts`
    axes : the axes of x that the windows move along; None: all but the first two
    target, targets, contrast : as an `Explainer` takes them, for the samples of x
    batch : how many windows are explained at once; no bit depends on it
    progress : called after each batch with the numbers of windows done and of all windows

    Raises
    ------
    ParameterError
        Where the model does not say its input's extents and neither does `window`, or windows and stride leave cells out.
    ShapeError
        Where x has no such axes, or is smaller than a window.
    """
    name = only_input(explainer)
    x = np.asarray(x)
    where = moved_axes(axes, x)
    size = integer(batch, "batch", 1)
    extents = per_axis(_model_extents(explainer, name, where) if window is None else window, len(where), "window")
    steps = per_axis(stride, len(where), "stride")
    starts = [_starts(x.shape[axis], extent, step, edges) for axis, extent, step in zip(where, extents, steps, strict=True)]
    corners = tuple(itertools.product(*starts))
    # Nobody could read the ledgers of single windows.
    silent = explainer.replace(ledger=False) if explainer.ledger else explainer
    windows = _Windows(x, where, extents, corners)
    explained = _choose(silent, windows, target, targets, contrast, size)
    counts = _counts([x.shape[axis] for axis in where], extents, starts)
    sums = _summed(silent, windows, explained, size, progress)
    return Windowed(
        inputs=(name,),
        relevances={name: sums.pop("relevance")},
        activations={name: sums.pop("activation")},
        target=explained.flat[:, 0] if explained.single else explained.flat,
        corners=np.array(corners),
        window=extents,
        counts=counts,
        **sums,
    )


# --- where windows are -----------------------------------------------------------------------------------------------


def _model_extents(explainer: Explainer, name: str, axes: Sequence[int]) -> Shape:
    """The extents that the model was made for."""
    shape = explainer.model.input_shape.get(name)
    if shape is None or len(shape) < max(axes):
        raise ParameterError("the model does not say how large its input is (input_shape); give window=")
    return tuple(shape[axis - 1] for axis in axes)


def _starts(extent: int, size: int, step: int, edges: str) -> list[int]:
    """Where windows begin along one axis."""
    if edges not in EDGES:
        raise unknown("choice of edges", edges, EDGES)
    if size > extent:
        raise ShapeError(f"a window of {size} cells does not fit into {extent}")
    if step > size and edges != "drop":
        raise ParameterError(f'a stride of {step} leaves cells between windows of {size} out; edges="drop" allows it')
    starts = list(range(0, extent - size + 1, step))
    left = extent - size - starts[-1]
    if left and edges == "fit":
        raise ParameterError(
            f"windows of {size} with a stride of {step} leave {left} of {extent} cells out; choose another stride, "
            'edges="flush" for a last window that ends with the input, or edges="drop"'
        )
    return [*starts, extent - size] if left and edges == "flush" else starts


def _counts(extents: Sequence[int], window: Shape, starts: Sequence[Sequence[int]]) -> Array:
    """How many windows see each cell."""
    counts = np.ones((), dtype=np.intp)
    for extent, size, begins in zip(extents, window, starts, strict=True):
        along = [sum(begin <= cell < begin + size for begin in begins) for cell in range(extent)]
        counts = np.multiply.outer(counts, np.array(along, dtype=np.intp))
    return counts


@dataclass(frozen=True, eq=False)
class _Windows:
    """The windows of all samples."""

    x: Array
    axes: tuple[int, ...]
    extents: Shape
    corners: tuple[Shape, ...]

    @property
    def window_indices(self) -> list[Place]:
        """Every window of every sample, in the order in which they are added."""
        return list(itertools.product(range(self.x.shape[0]), range(len(self.corners))))

    def cells(self, s: int) -> tuple[Any, ...]:
        """Window s in one sample."""
        slices = [slice(None)] * (self.x.ndim - 1)
        for axis, corner, extent in zip(self.axes, self.corners[s], self.extents, strict=True):
            slices[axis - 1] = slice(corner, corner + extent)
        return tuple(slices)

    def contents(self, indices: Sequence[Place]) -> Array:
        """What is in some windows, as a batch."""
        if indices:
            return np.stack([self.x[(n, *self.cells(s))] for n, s in indices])
        return self.x[(slice(0), *self.cells(0))]

    def chunks(self, size: int) -> Iterator[tuple[list[Place], Array]]:
        """Windows and their contents, `size` at a time; one empty chunk where there is nothing."""
        indices = self.window_indices
        for begin in range(0, len(indices), size) or (0,):
            yield indices[begin : begin + size], self.contents(indices[begin : begin + size])


# --- what they explain -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Targets:
    """Flat indices (N, T) of what all windows of a sample explain, and (N,) of its contrast, into outputs of this shape."""

    flat: Array
    single: bool
    contrast: Array | None
    outputs: Shape

    def of(self, samples: list[int]) -> dict[str, Any]:
        """For one window of each of these samples what an explainer is to explain."""
        target = spelled(self.flat[samples, 0] if self.single else self.flat[samples], self.outputs)
        contrast = None if self.contrast is None else spelled(self.contrast[samples], self.outputs)
        return {"target": target, "contrast": contrast} if self.single else {"targets": target, "contrast": contrast}


def _choose(explainer: Explainer, windows: _Windows, target: Any, targets: Any, contrast: Any, size: int) -> _Targets:
    if target is not None and targets is not None:
        raise TargetError("give target= or targets=, not both (contrast= goes with target=)")
    empty = _scores(explainer, windows.contents([]))
    scores = zeros((windows.x.shape[0], *empty.shape[1:]), empty)
    wanted = "predicted" if target is None and targets is None else target
    if isinstance(wanted, str) and wanted == "predicted":
        for chunk, contents in windows.chunks(size):
            for (n, _), score in zip(chunk, _scores(explainer, contents), strict=True):
                scores[n] += score
    flat = several(targets, scores) if targets is not None else indices(wanted, scores)
    single = targets is None and not (isinstance(wanted, str) and wanted == "all")
    other = None if contrast is None else indices(contrast, scores, "contrast")[:, 0]
    return _Targets(flat, single, other, scores.shape[1:])


def _scores(explainer: Explainer, contents: Array) -> Array:
    """The scores by which a prediction is chosen, in the output's shape."""
    model = explainer._model
    activations = model.trace(contents).activations
    return explainer._prepared.scores(model, dict.fromkeys(model.inputs, contents.shape[1:])).array(activations)


# --- adding them up --------------------------------------------------------------------------------------------------


def _summed(
    explainer: Explainer, windows: _Windows, explained: _Targets, size: int, progress: Callable[[int, int], None] | None
) -> dict[str, Any]:
    """The fields of the answer that windows contribute to."""
    x, count = windows.x, windows.x.shape[0]
    lead = () if explained.single else (explained.flat.shape[1],)
    sums: dict[str, Any] = {}
    windows_done, fields = 0, {"window_values": "value", "residuals": "residual"}
    for chunk, contents in windows.chunks(size):
        e = explainer(contents, **explained.of([n for n, _ in chunk]))
        if not sums:
            shapes: dict[str, Shape] = {"relevance": x.shape[1:], "value": ()}
            sums = {key: zeros((count, *lead, *shape), e.value) for key, shape in shapes.items()}
            fields = fields if e.conserves else {"window_values": "value"}
            sums |= {key: zeros((count, len(windows.corners), *lead), e.value) for key in fields}
            sums["prediction"] = zeros((count, *e.prediction.shape[1:]), e.prediction)
            sums["activation"] = like(x, e.value)
            sums |= {key: getattr(e, key) for key in ("backend", "precision", "composite", "head", "cautions", "method")}
        parts_of_window = {key: getattr(e, name) for key, name in fields.items()}
        for i, (n, s) in enumerate(chunk):
            sums["relevance"][(n, *(slice(None) for _ in lead), *windows.cells(s))] += e.relevance[i]
            sums["value"][n] += e.value[i]
            for key, array in parts_of_window.items():
                sums[key][n, s] = array[i]
            sums["prediction"][n] += e.prediction[i]
        windows_done += len(chunk)
        if progress is not None:
            progress(windows_done, count * len(windows.corners))
    return sums
