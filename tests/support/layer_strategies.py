"""Hypothesis strategies of every kind of layer: random hyper-parameters, and shapes of inputs that fit them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lrp_ref import layers as L
from lrp_ref.arrays import Array, Shape
from lrp_ref.errors import ShapeError
from support.array_strategies import Numbers, arrays, positives

#: A layer and the shapes of its inputs.
Drawn = tuple[L.Layer, tuple[Shape, ...]]


# ---- geometry --------------------------------------------------------------------------------------------------------

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """A drawn window with the extents of an input that it fits; everything spelled in full."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[Pair, ...]
    dilation: tuple[int, ...]
    spatial: Shape

    @property
    def dims(self) -> int:
        return len(self.kernel)


@st.composite
def geometries(draw: DrawFn, dims: int | None = None) -> Geometry:
    """Kernels 1–3, strides up to 4 (beyond the kernel), padding 0–2 on either side, dilation 1–2."""
    dims = draw(st.sampled_from([1, 2, 2, 3])) if dims is None else dims
    # In 3-d the arrays stay small: a third axis shows mix-ups of axes, not long ones.
    spare = 3 if dims < 3 else 1
    kernel, stride, padding, dilation, spatial = [], [], [], [], []
    for _ in range(dims):
        k, d = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2]))
        before, after = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        fits = max(1, d * (k - 1) + 1 - before - after)
        kernel.append(k)
        dilation.append(d)
        stride.append(draw(st.integers(1, 4)))
        padding.append((before, after))
        spatial.append(fits + draw(st.integers(0, spare)))
    return Geometry(tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), tuple(spatial))


@st.composite
def spelled(draw: DrawFn, entries: Sequence[Any]) -> Any:
    """One of the ways to write `entries`, one per axis: in full, a list, pairs as ints, one int for all."""
    short = tuple(e[0] if isinstance(e, tuple) and e[0] == e[1] else e for e in entries)
    ways: list[Any] = [tuple(entries), short, list(entries)]
    if len(set(short)) == 1 and isinstance(short[0], int):
        ways.append(short[0])
    return draw(st.sampled_from(ways))


# ---- one strategy per kind: numbers → (layer, shapes of one sample of each input) ------------------------------------


@st.composite
def _dense(draw: DrawFn, numbers: Numbers) -> Drawn:
    lower, upper = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    bias = draw(st.none() | arrays((upper,), numbers))
    between = draw(st.sampled_from([(), (), (), (2,), (2, 1)]))
    return L.Dense(draw(arrays((lower, upper), numbers)), bias), ((*between, lower),)


@st.composite
def _sample_shapes(draw: DrawFn, low: int = 1, high: int = 4) -> Shape:
    return tuple(draw(st.lists(st.integers(1, 3), min_size=low, max_size=high)))


@st.composite
def _broadcastable(draw: DrawFn, shape: Shape, drop: bool = False) -> Shape:
    """`shape` with some extents set to 1 and, if `drop`, some leading axes left out."""
    stretched = draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    start = draw(st.integers(0, len(shape))) if drop else 0
    return tuple(1 if s else extent for s, extent in zip(stretched, shape, strict=True))[start:]


@st.composite
def _scale(draw: DrawFn, numbers: Numbers) -> Drawn:
    sample = draw(_sample_shapes())
    weight = draw(arrays(draw(_broadcastable(sample, drop=True)), numbers))
    bias = draw(st.none() | _broadcastable(sample, drop=True).flatmap(lambda shape: arrays(shape, numbers)))
    return L.Scale(weight, bias), (sample,)


@st.composite
def _combination(draw: DrawFn, numbers: Numbers, kind: type[L.Layer]) -> Drawn:
    layer: L.Layer
    if kind is L.Add:
        layer = L.Add(draw(st.sampled_from([2, 3, 1])))
    elif kind is L.Multiply:
        layer = L.Multiply(draw(st.sampled_from([None, 0, 1])))
    else:
        layer = L.Subtract()
    sample = draw(_sample_shapes())
    return layer, tuple(draw(st.just(sample) | _broadcastable(sample)) for _ in range(layer.arity))


@st.composite
def _mean(draw: DrawFn, numbers: Numbers) -> Drawn:
    sample = draw(_sample_shapes())
    axes = draw(st.lists(st.integers(1, len(sample)), min_size=1, unique=True))
    spelt = [axis - len(sample) - 1 if draw(st.booleans()) else axis for axis in axes]
    given = spelt[0] if len(spelt) == 1 and draw(st.booleans()) else tuple(spelt)
    return L.Mean(given, draw(st.booleans())), (sample,)


@st.composite
def _channels(draw: DrawFn) -> tuple[int, int, int]:
    """(groups, lower per group, upper per group), depthwise included, at most 4 channels on either side."""
    return draw(st.sampled_from([(1, 1, 1), (1, 2, 3), (1, 3, 2), (2, 1, 1), (2, 2, 1), (3, 1, 1), (2, 1, 2), (1, 4, 1)]))


@st.composite
def _bias(draw: DrawFn, upper: int, out: Shape, numbers: Numbers) -> Array | None:
    """None, one number per channel, or (as after the folding of a batch norm) a whole feature map."""
    shape = draw(st.sampled_from([None, (upper,), (upper,), (upper, *out)]))
    return None if shape is None else draw(arrays(shape, numbers))


@st.composite
def _conv(draw: DrawFn, numbers: Numbers) -> Drawn:
    g = draw(geometries())
    groups, lower, upper = draw(_channels())
    weight = draw(arrays((groups * upper, lower, *g.kernel), numbers))
    layer = L.Conv(
        weight,
        None,
        stride=draw(spelled(g.stride)),
        padding=draw(spelled(g.padding)),
        dilation=draw(spelled(g.dilation)),
        groups=groups,
    )
    sample = (groups * lower, *g.spatial)
    out = layer.shape((1, *sample))[2:]
    return replace(layer, bias=draw(_bias(groups * upper, out, numbers))), (sample,)


@st.composite
def _conv_transpose(draw: DrawFn, numbers: Numbers) -> Drawn:
    g = draw(geometries())
    groups, lower, upper = draw(_channels())
    spatial = tuple(draw(st.integers(1, 3 if g.dims < 3 else 2)) for _ in g.kernel)
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(g.stride, g.dilation, strict=True))
    padding = []
    for n, k, s, d, e, (before, after) in zip(spatial, g.kernel, g.stride, g.dilation, extra, g.padding, strict=True):
        room = (n - 1) * s + d * (k - 1) + e  # what may be cut off so that one cell is left
        kept = min(before, room)
        padding.append((kept, min(after, room - kept)))
    weight = draw(arrays((groups * lower, upper, *g.kernel), numbers))
    layer = L.ConvTranspose(
        weight,
        None,
        stride=draw(spelled(g.stride)),
        padding=draw(spelled(padding)),
        dilation=draw(spelled(g.dilation)),
        groups=groups,
        output_padding=draw(spelled(extra)),
    )
    sample = (groups * lower, *spatial)
    out = layer.shape((1, *sample))[2:]
    return replace(layer, bias=draw(_bias(groups * upper, out, numbers))), (sample,)


@st.composite
def _pool(draw: DrawFn, numbers: Numbers, kind: Any) -> Drawn:
    g = draw(geometries())
    options: dict[str, Any] = {"ceil_mode": draw(st.booleans())}
    if options["ceil_mode"]:  # inputs that are smaller than the window
        g = replace(g, spatial=tuple(max(1, n - draw(st.integers(0, 2))) for n in g.spatial))
    sample = (draw(st.integers(1, 3)), *g.spatial)
    if kind is L.AvgPool:
        options["count_include_pad"] = draw(st.booleans())
    if draw(st.booleans()):
        options["stride"] = draw(spelled(g.stride))
    if draw(st.booleans()):
        options["dilation"] = draw(spelled(g.dilation))
    kernel = draw(spelled(g.kernel))
    padded = kind(kernel, padding=draw(spelled(g.padding)), **options)
    try:
        padded.shape((1, *sample))
    except ShapeError:  # a maximum over nothing but padding does not exist, or the default dilation does not fit
        plain = kind(kernel, **options)
        return plain, ((sample[0], *(max(n, d * (k - 1) + 1) for n, d, k in zip(g.spatial, g.dilation, g.kernel, strict=True))),)
    return padded, (sample,)


def _global_pool(numbers: Numbers, kind: Any) -> SearchStrategy[Drawn]:
    return _sample_shapes(2).map(lambda sample: (kind(), (sample,)))


@st.composite
def _activation(draw: DrawFn, numbers: Numbers, kind: Any) -> Drawn:
    sample = draw(_sample_shapes())
    if kind is L.LeakyReLU:
        return kind(draw(st.sampled_from([0.25, 0.5, 0, 0.01, 1.5]))), (sample,)
    if kind is L.GELU:
        return kind(draw(st.sampled_from(["none", "tanh"]))), (sample,)
    if kind is L.Softplus:
        return kind(draw(st.sampled_from([1.0, 0.5, 20.0]))), (sample,)
    if issubclass(kind, L.Softmax):
        axis = draw(st.integers(1, len(sample)))
        return kind(draw(st.sampled_from([axis, axis - len(sample) - 1]))), (sample,)
    return kind(), (sample,)


@st.composite
def _batch_norm(draw: DrawFn, numbers: Numbers) -> Drawn:
    """σ² + ε is the square of a dyadic number, so that the layer has an exact value."""
    sample = draw(_sample_shapes())
    channels = (sample[0],)
    epsilon = draw(st.sampled_from([0.0, 0.0625, 0.25]))
    root = draw(arrays(channels, positives().map(lambda r: max(r, 0.5))))
    scale = draw(st.none() | arrays(channels, numbers))
    shift = draw(st.none() | arrays(channels, numbers))
    return L.BatchNorm(draw(arrays(channels, numbers)), root * root - epsilon, scale, shift, epsilon), (sample,)


@st.composite
def _concat(draw: DrawFn, numbers: Numbers) -> Drawn:
    sample = draw(_sample_shapes())
    axis = draw(st.integers(1, len(sample)))
    extents = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    shapes = tuple((*sample[: axis - 1], extent, *sample[axis:]) for extent in extents)
    return L.Concat(len(extents), draw(st.sampled_from([axis, axis - len(sample) - 1]))), shapes


@st.composite
def _flatten(draw: DrawFn, numbers: Numbers) -> Drawn:
    sample = draw(_sample_shapes())
    return L.Flatten(draw(st.sampled_from([1, 1, draw(st.integers(1, len(sample) + 1))]))), (sample,)


@st.composite
def _reshape(draw: DrawFn, numbers: Numbers) -> Drawn:
    sample = draw(_sample_shapes())
    to = list(draw(st.permutations(sample)))
    if len(to) > 1 and draw(st.booleans()):
        to = [to[0] * to[1], *to[2:]]
    if draw(st.booleans()):
        to.insert(draw(st.integers(0, len(to))), 1)
    if draw(st.booleans()):
        to[draw(st.integers(0, len(to) - 1))] = -1
    return L.Reshape(tuple(to)), (sample,)


@st.composite
def _transpose(draw: DrawFn, numbers: Numbers) -> Drawn:
    sample = draw(_sample_shapes())
    return L.Transpose((0, *draw(st.permutations(range(1, len(sample) + 1))))), (sample,)


@st.composite
def _pad(draw: DrawFn, numbers: Numbers) -> Drawn:
    sample = draw(_sample_shapes(2))
    pairs = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in sample[1:]]
    return L.Pad(draw(spelled(pairs))), (sample,)


@st.composite
def _upsample(draw: DrawFn, numbers: Numbers) -> Drawn:
    sample = draw(_sample_shapes(2))
    return L.Upsample(draw(spelled([draw(st.integers(1, 3)) for _ in sample[1:]]))), (sample,)


def _plain(numbers: Numbers, kind: Any) -> SearchStrategy[Drawn]:
    return _sample_shapes().map(lambda sample: (kind(), (sample,)))


def _of(strategy: Callable[..., SearchStrategy[Drawn]], kind: type[L.Layer]) -> Callable[[Numbers], SearchStrategy[Drawn]]:
    return lambda numbers: strategy(numbers, kind)


DRAW: dict[type[L.Layer], Callable[[Numbers], SearchStrategy[Drawn]]] = {
    L.Dense: _dense,
    L.Scale: _scale,
    L.Add: _of(_combination, L.Add),
    L.Subtract: _of(_combination, L.Subtract),
    L.Mean: _mean,
    L.Conv: _conv,
    L.ConvTranspose: _conv_transpose,
    L.SumPool: _of(_pool, L.SumPool),
    L.AvgPool: _of(_pool, L.AvgPool),
    L.GlobalSumPool: _of(_global_pool, L.GlobalSumPool),
    L.GlobalAvgPool: _of(_global_pool, L.GlobalAvgPool),
    L.Upsample: _upsample,
    L.BatchNorm: _batch_norm,
    L.MaxPool: _of(_pool, L.MaxPool),
    L.GlobalMaxPool: _of(_global_pool, L.GlobalMaxPool),
    **{kind: _of(_activation, kind) for kind in (L.ReLU, L.LeakyReLU, L.Tanh, L.Sigmoid, L.GELU, L.Softplus)},
    **{kind: _of(_activation, kind) for kind in (L.Softmax, L.LogSoftmax)},
    L.Concat: _concat,
    L.Multiply: _of(_combination, L.Multiply),
    L.Flatten: _flatten,
    L.Reshape: _reshape,
    L.Transpose: _transpose,
    L.Pad: _pad,
    L.Dropout: _of(_plain, L.Dropout),
    L.Identity: _of(_plain, L.Identity),
}

#: Every kind of layer that can be drawn (tests/test_meta.py: every public one).
KINDS = tuple(DRAW)
LINEAR = tuple(kind for kind in KINDS if issubclass(kind, L.Linear))
POOLS = tuple(kind for kind in KINDS if kind.__name__.endswith("Pool"))
SELECTING = tuple(kind for kind in KINDS if issubclass(kind, L.Selecting))
REARRANGEMENTS = tuple(kind for kind in KINDS if issubclass(kind, L.Rearrangement))
ACTIVATIONS = tuple(kind for kind in KINDS if issubclass(kind, L.Activation))
#: Kinds without a value in the rationals.
IRRATIONAL = (L.Tanh, L.Sigmoid, L.GELU, L.Softplus, L.Softmax, L.LogSoftmax)
RATIONAL = tuple(kind for kind in KINDS if kind not in IRRATIONAL)
