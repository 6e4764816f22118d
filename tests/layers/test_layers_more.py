"""Layers that networks from files need: forward against literal loops, adjoints, where relevance goes back, refusals."""

import math
from fractions import Fraction

import numpy as np
import pytest

import lrp_ref
from lrp_ref import layers as L
from lrp_ref import rules
from lrp_ref.arrays import fractions
from lrp_ref.errors import ExactnessError, LrpError, NonFiniteError, ParameterError, RuleError, ShapeError, UnderflowError
from lrp_ref.layers.pooling import Pooling
from support import recurrent_by_hand
from support.more_layers import CASES
from support.smooth_by_hand import windows

ALL = [pytest.param(layer, shapes, id=f"{layer}-{shapes}") for cases in CASES.values() for layer, shapes in cases]
#: The layers that have a rational form.
EXACT = (
    L.Abs,
    L.AdaptiveAvgPool,
    L.AdaptiveMaxPool,
    L.Attach,
    L.Clip,
    L.Compare,
    L.DepthToSpace,
    L.Divide,
    L.Expand,
    L.Gather,
    L.HardSigmoid,
    L.HardSwish,
    L.MatMul,
    L.Maximum,
    L.MinMaxNorm,
    L.Minimum,
    L.PReLU,
    L.PadWith,
    L.Pow,
    L.Reciprocal,
    L.ReduceMax,
    L.Resize,
    L.Shrink,
    L.Sign,
    L.Slice,
    L.Softsign,
    L.SpaceToDepth,
    L.StackedDense,
    L.Sum,
    L.Threshold,
    L.Tile,
    L.Where,
)


def drawn(layer, shapes, batch=3, seed=1):
    """Inputs of a case: numbers of both signs but 0, positive ones where the function needs them."""
    rng = np.random.default_rng(seed)
    found = []
    for shape in shapes:
        a = rng.integers(1, 17, (batch, *shape)) / 8 * rng.choice([-1, 1], (batch, *shape))
        found.append(np.abs(a) if isinstance(layer, (L.Log, L.Sqrt, L.Power)) else a)
    if isinstance(layer, L.Where):
        found[0] = rng.integers(-1, 2, found[0].shape).astype(np.float64)  # the condition, often 0
    if isinstance(layer, (L.Compare, L.Shrink, L.Sign, L.Threshold)):
        found[0] = rng.integers(-8, 9, found[0].shape) / 4  # often equal
    if isinstance(layer, L.Embedding):
        found = [rng.integers(-5, 5, (batch, *shapes[0])).astype(np.float64)]
    if "lengths" in getattr(layer, "reads", ()):
        found[1] = rng.integers(1, shapes[0][0] + 1, batch).astype(np.float64)
    return found


# --- literal loops ------------------------------------------------------------------------------------------------------------


def scalar(function):
    def loops(layer, *inputs):
        arrays = np.broadcast_arrays(*inputs)
        out = np.empty(arrays[0].shape)
        for index in np.ndindex(out.shape):
            out[index] = function(layer, *(float(a[index]) for a in arrays))
        return out

    return loops


def fixed(parameter, index, shape):
    """The entry of a parameter that broadcasts against a sample."""
    return float(np.broadcast_to(parameter, shape)[index])


def with_parameter(name, function):
    def loops(layer, a):
        out = np.empty(a.shape)
        for n, *index in np.ndindex(a.shape):
            out[(n, *index)] = function(float(a[(n, *index)]), fixed(getattr(layer, name), tuple(index), a.shape[1:]))
        return out

    return loops


def softplus(z):
    return math.log1p(math.exp(z))


def lp_pool(layer, a):
    out = np.zeros(layer.shape(a.shape))
    for place, seen in windows(layer, a):
        out[place] = sum(abs(v) ** layer.p for v in seen) ** (1 / layer.p)
    return out


def lrn(layer, a):
    out = np.empty(a.shape)
    channels = a.shape[1]
    for n, c, *rest in np.ndindex(a.shape):
        low, high = c - math.floor((layer.size - 1) / 2), c + math.ceil((layer.size - 1) / 2)
        total = sum(float(a[(n, k, *rest)]) ** 2 for k in range(max(0, low), min(channels - 1, high) + 1))
        out[(n, c, *rest)] = a[(n, c, *rest)] / (layer.k + layer.alpha / layer.size * total) ** layer.beta
    return out


def normalised(groups):
    """A normalisation of groups of elements of one sample: `groups(layer, sample)` gives lists of indices."""

    def loops(layer, a):
        out = np.empty(a.shape)
        for n in range(len(a)):
            for members, affine in groups(layer, a[n]):
                values = [float(a[n][i]) for i in members]
                mean = 0.0 if isinstance(layer, L.RMSNorm) else sum(values) / len(values)
                variance = sum((v - mean) ** 2 for v in values) / (len(values) - getattr(layer, "correction", 0))
                divisor = math.sqrt(variance + layer.epsilon) + getattr(layer, "outside", 0.0)
                for i, v in zip(members, values, strict=True):
                    scale, shift = affine(i)
                    out[n][i] = (v - mean) / divisor * scale + shift
        return out

    return loops


def channel_affine(layer):
    scale, shift = ([1.0, 0.0][k] if v is None else v for k, v in enumerate((layer.scale, layer.shift)))
    return lambda i: tuple(v if np.ndim(v) == 0 else v[i[0]] for v in (scale, shift))


def channel_groups(layer, sample):
    count = layer.groups if isinstance(layer, L.GroupNorm) else len(sample)
    size = len(sample) // count
    for g in range(count):
        yield [i for i in np.ndindex(sample.shape) if i[0] // size == g], channel_affine(layer)


def last_groups(layer, sample):
    last = sample.shape[-layer.axes :]

    def affine(i):
        tail = i[-layer.axes :]
        return (
            1.0 if layer.scale is None else fixed(layer.scale, tail, last),
            0.0 if layer.shift is None else fixed(layer.shift, tail, last),
        )

    for head in np.ndindex(sample.shape[: -layer.axes]):
        yield [(*head, *tail) for tail in np.ndindex(last)], affine


def rescaled(function):
    """Groups over `layer.axes`, each moved and divided by what `function(layer, values)` says."""

    def loops(layer, a):
        axes, groups = tuple(axis % a.ndim for axis in layer.axes), {}
        for index in np.ndindex(a.shape):
            groups.setdefault(tuple(0 if k in axes else i for k, i in enumerate(index)), []).append(index)
        out = np.empty(a.shape)
        for members in groups.values():
            low, size = function(layer, [float(a[i]) for i in members])
            for i in members:
                out[i] = (a[i] - low) / max(size, layer.floor)
        return out

    return loops


def reduced(function):
    def loops(layer, a):
        axes = tuple(axis % a.ndim for axis in layer.axes)
        out = {}
        for index in np.ndindex(a.shape):
            out.setdefault(tuple(0 if k in axes else i for k, i in enumerate(index)), []).append(float(a[index]))
        found = np.empty(tuple(1 if k in axes else e for k, e in enumerate(a.shape)))
        for index, values in out.items():
            found[index] = function(values)
        return found if layer.keepdims else found.reshape(layer.shape(a.shape))

    return loops


def adaptive(function):
    """Window i of m over n cells: from ⌊i·n/m⌋ to ⌈(i+1)·n/m⌉."""

    def loops(layer, a):
        out = layer.shape(a.shape)
        found = np.empty(out)
        for index in np.ndindex(out):
            cells = tuple(
                slice(i * n // m, math.ceil(Fraction((i + 1) * n, m)))
                for i, n, m in zip(index[2:], a.shape[2:], out[2:], strict=True)
            )
            found[index] = function([float(v) for v in a[(*index[:2], *cells)].flat])
        return found

    return loops


def matmul(layer, a, b):
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    a, b = (np.broadcast_to(x, (*shape[:-2], *x.shape[-2:])) for x in (a, b))
    out = np.zeros(shape)
    for *head, i, j in np.ndindex(shape):
        out[(*head, i, j)] = sum(a[(*head, i, k)] * b[(*head, k, j)] for k in range(a.shape[-1]))
    return out


def stacked_dense(layer, a):
    """Each cell of the stack of each sample: rows times its own matrix."""
    w = layer.weight
    out = np.zeros(layer.shape(a.shape))
    head = out.shape[1:-2]
    a = np.broadcast_to(a, (len(a), *head, *a.shape[-2:]))
    w = np.broadcast_to(w, (*head, *w.shape[-2:]))
    for n, *s, r, k in np.ndindex(out.shape):
        out[(n, *s, r, k)] = sum(a[(n, *s, r, j)] * w[(*s, j, k)] for j in range(w.shape[-2]))
    return out


def chosen(layer, condition, *signals):
    shape = layer.shape(condition.shape, *(a.shape for a in signals))
    rest = iter(signals)
    choices = [np.broadcast_to(next(rest) if c is None else c, shape) for c in (layer.then, layer.otherwise)]
    condition = np.broadcast_to(condition, shape)
    out = np.empty(shape)
    for index in np.ndindex(shape):
        out[index] = choices[0][index] if condition[index] != 0 else choices[1][index]
    return out


RELATIONS = {
    "<": lambda z, other: z < other,
    "<=": lambda z, other: z <= other,
    ">": lambda z, other: z > other,
    ">=": lambda z, other: z >= other,
    "==": lambda z, other: z == other,
    "!=": lambda z, other: z != other,
}


def compared(layer, a):
    return with_parameter("other", lambda z, other: float(RELATIONS[layer.relation](z, other)))(layer, a)


def padded(layer, a):
    out = np.empty(layer.shape(a.shape))
    for n, *index in np.ndindex(out.shape):
        cells = []
        for i, e, (before, _) in zip(index, a.shape[1:], layer.padding, strict=True):
            i -= before  # noqa: PLW2901
            if layer.mode == "edge":
                i = min(max(i, 0), e - 1)  # noqa: PLW2901
            while layer.mode in ("reflect", "wrap") and not 0 <= i < e:
                if layer.mode == "reflect":
                    i = -i if i < 0 else 2 * (e - 1) - i  # noqa: PLW2901
                else:
                    i += e if i < 0 else -e  # noqa: PLW2901
            cells.append(i)
        inside = all(0 <= i < e for i, e in zip(cells, a.shape[1:], strict=True))
        out[(n, *index)] = a[(n, *cells)] if inside else layer.value
    return out


def depth_to_space(layer, a):
    n, c, h, w = a.shape
    b = layer.block
    out = np.empty((n, c // b**2, h * b, w * b))
    for s, k, i, j in np.ndindex(out.shape):
        cell = (i % b) * b + j % b
        channel = cell * (c // b**2) + k if layer.mode == "DCR" else k * b**2 + cell
        out[s, k, i, j] = a[s, channel, i // b, j // b]
    return out


def space_to_depth(layer, a):
    n, c, h, w = a.shape
    b = layer.block
    out = np.empty((n, c * b**2, h // b, w // b))
    for s, k, i, j in np.ndindex(a.shape):
        cell = (i % b) * b + j % b
        channel = cell * c + k if layer.mode == "DCR" else k * b**2 + cell
        out[s, channel, i // b, j // b] = a[s, k, i, j]
    return out


def keys(x, a):
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def where_from(layer, axis, i, scale, m, n):
    """Where output cell i of n lies among m input cells."""
    if layer.coordinates == "tf_crop_and_resize":
        start, end = layer.roi[axis - 1]
        return (start + (i / (n - 1) if n > 1 else 0.5) * (end - start)) * (m - 1)
    if layer.coordinates == "asymmetric":
        return i / scale
    return i * (m - 1) / (n - 1) if layer.coordinates == "align_corners" else (i + 0.5) / scale - 0.5


def resized(layer, a):
    for axis, n in enumerate(layer.to, start=1):
        m = a.shape[axis]
        scale = float(layer.scales[axis - 1]) if layer.scales else n / m
        if m == n and scale == 1 and (layer.roi is None or layer.roi[axis - 1] == (0, 1)):
            continue
        parts = []
        for i in range(n):
            x = where_from(layer, axis, i, scale, m, n)
            if layer.roi is not None and not 0 <= x <= m - 1:
                parts.append(a.take(0, axis=axis) * 0 + layer.extrapolation)
                continue
            shrink = min(1.0, scale) if layer.antialias else 1.0
            shares = {}
            for cell in range(-20, m + 20):
                if layer.mode == "nearest":
                    share = float(cell == math.floor(x))
                elif layer.mode == "linear":
                    share = max(0.0, 1 - abs(x - cell) * shrink)
                else:
                    share = keys(x - cell, float(layer.cubic))
                if layer.exclude_outside and not 0 <= cell < m:
                    share = 0.0
                place = min(max(cell, 0), m - 1)
                shares[place] = shares.get(place, 0.0) + share
            whole = sum(shares.values())
            parts.append(sum(a.take(k, axis=axis) * (v / whole) for k, v in shares.items()))
        a = np.stack(parts, axis=axis)
    return a


LOOPS = {
    L.Abs: scalar(lambda layer, z: z if z >= 0 else -z),
    L.Attach: lambda layer, a: np.stack(
        [np.concatenate([p for p in (layer.before, x, layer.after) if p is not None], layer.axis - 1) for x in a]
    ),
    L.AdaptiveAvgPool: adaptive(lambda values: sum(values) / len(values)),
    L.AdaptiveMaxPool: adaptive(max),
    L.CELU: scalar(lambda layer, z: max(0.0, z) + min(0.0, layer.alpha * (math.exp(z / layer.alpha) - 1))),
    L.Clip: scalar(
        lambda layer, z: min(
            math.inf if layer.high is None else layer.high, max(-math.inf if layer.low is None else layer.low, z)
        )
    ),
    L.Compare: compared,
    L.DepthToSpace: depth_to_space,
    L.Divide: scalar(lambda layer, a, b: a / b),
    L.ELU: scalar(lambda layer, z: z if z > 0 else layer.alpha * (math.exp(z) - 1)),
    L.Embedding: lambda layer, a: np.array([layer.weight[int(i)] for i in a.flat]).reshape(*a.shape, -1),
    L.Erf: scalar(lambda layer, z: math.erf(z)),
    L.Exp: scalar(lambda layer, z: math.exp(z)),
    L.Expand: lambda layer, a: np.stack([np.zeros(layer.to) + x for x in a]),
    L.Gather: lambda layer, a: (
        np.stack([a.take(i, axis=layer.axis) for i in layer.indices], layer.axis) if layer.indices else a[:, :0]
    ),
    **dict.fromkeys((L.GRU, L.LSTM, L.RNN), recurrent_by_hand.forward),
    L.GlobalLpPool: lambda layer, a: np.array(
        [sum(abs(v) ** layer.p for v in c.flat) ** (1 / layer.p) for x in a for c in x]
    ).reshape(*a.shape[:2], *(1,) * (a.ndim - 2)),
    L.GroupNorm: normalised(channel_groups),
    L.HardSigmoid: scalar(lambda layer, z: max(0.0, min(1.0, layer.alpha * z + layer.beta))),
    L.HardSwish: scalar(lambda layer, z: z * max(0.0, min(1.0, z / 6 + 0.5))),
    L.InstanceNorm: normalised(channel_groups),
    L.LRN: lrn,
    L.LayerNorm: normalised(last_groups),
    L.LogSigmoid: scalar(lambda layer, z: -math.log(1 + math.exp(-z))),
    L.Log: scalar(lambda layer, z: math.log(z)),
    L.LpNorm: rescaled(
        lambda layer, values: (0, (sum(abs(v) ** layer.p for v in values) + layer.epsilon) ** (1 / layer.p) + layer.outside)
    ),
    L.LpPool: lp_pool,
    L.MatMul: matmul,
    L.Maximum: scalar(lambda layer, *zs: max(zs)),
    L.Minimum: scalar(lambda layer, *zs: min(zs)),
    L.MinMaxNorm: rescaled(lambda layer, values: (min(values), max(values) - min(values) + layer.epsilon)),
    L.Mish: scalar(lambda layer, z: z * math.tanh(softplus(z))),
    L.PReLU: with_parameter("slope", lambda z, slope: z if z >= 0 else slope * z),
    L.PadWith: padded,
    L.Pow: with_parameter("exponent", lambda z, exponent: z**exponent),
    L.Power: scalar(lambda layer, a, b: a**b),
    L.RMSNorm: normalised(last_groups),
    L.Reciprocal: scalar(lambda layer, z: 1 / z),
    L.ReduceMax: reduced(max),
    L.Resize: resized,
    L.SELU: scalar(lambda layer, z: layer.gamma * (z if z > 0 else layer.alpha * (math.exp(z) - 1))),
    L.SiLU: scalar(lambda layer, z: z / (1 + math.exp(-layer.beta * z))),
    L.Shrink: scalar(lambda layer, z: math.copysign(abs(z) - layer.shift, z) if abs(z) > layer.threshold else 0.0),
    L.Sign: scalar(lambda layer, z: float((z > 0) - (z < 0))),
    L.Slice: lambda layer, a: np.moveaxis(np.moveaxis(a, layer.axis, 0)[layer.start : layer.stop : layer.step], 0, layer.axis),
    L.Softsign: scalar(lambda layer, z: z / (1 + abs(z))),
    L.SpaceToDepth: space_to_depth,
    L.Sqrt: scalar(lambda layer, z: math.sqrt(z)),
    L.StackedDense: stacked_dense,
    L.Sum: reduced(sum),
    L.Threshold: scalar(lambda layer, z: z if z > layer.threshold else layer.value),
    L.Tile: lambda layer, a: np.stack([np.tile(x, layer.repeats) for x in a]),
    L.Where: chosen,
}


def test_every_layer_has_loops():
    assert set(LOOPS) == set(CASES)


@pytest.mark.parametrize(("layer", "shapes"), ALL)
def test_forward_is_the_literal_loop(layer, shapes):
    inputs = drawn(layer, shapes)
    found, wanted = layer.forward(*inputs), LOOPS[type(layer)](layer, *inputs)
    assert found.shape == layer.shape(*(a.shape for a in inputs)) == wanted.shape
    assert found.dtype == np.float64
    # Some dozens of operations at most, none of which cancels more than a digit or two.
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("layer", "shapes"), ALL)
def test_a_sample_does_not_depend_on_its_batch_and_numbers_keep_their_type(layer, shapes):
    inputs = drawn(layer, shapes, batch=4)
    whole = layer.forward(*inputs)
    for n in range(4):
        assert (layer.forward(*(a[n : n + 1] for a in inputs)) == whole[n : n + 1]).all()
    narrow = layer.astype(np.float32).forward(*(a.astype(np.float32) for a in inputs))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, whole, rtol=1e-4, atol=1e-5)
    assert layer.forward(*(a[:0] for a in inputs)).shape == (0, *whole.shape[1:])


@pytest.mark.parametrize(("layer", "shapes"), ALL)
def test_rationals(layer, shapes):
    inputs = drawn(layer, shapes)
    exact = [fractions(a) for a in inputs]
    if isinstance(layer, EXACT):
        found = layer.astype(object).forward(*exact)
        assert all(isinstance(v, Fraction) for v in found.flat)
        np.testing.assert_allclose(found.astype(float), layer.forward(*inputs), rtol=1e-13)
    elif not isinstance(layer, (L.LpNorm, L.LpPool, L.GlobalLpPool, L.Embedding)):  # exact for p = 1
        with pytest.raises(ExactnessError):
            layer.astype(object).forward(*exact)


@pytest.mark.parametrize(("layer", "shapes"), [p for p in ALL if isinstance(p.values[0], L.Linear)])
def test_adjoints_are_transposes(layer, shapes):
    """⟨map(a), s⟩ = ⟨a, adjoint(s)⟩, in rationals exactly."""
    layer = layer.astype(object)
    (a,) = (fractions(x) for x in drawn(layer, shapes))
    z = layer.map(a, fractions(layer.weights[0]))
    s = fractions(np.random.default_rng(2).integers(-9, 10, z.shape))
    back = layer.adjoint(s, fractions(layer.weights[0]), a.shape)
    assert back.shape == a.shape
    assert (z * s).sum() == (a * back).sum()


@pytest.mark.parametrize(("layer", "shapes"), [p for p in ALL if isinstance(p.values[0], L.Rearrangement)])
def test_relevance_goes_back_where_it_came_from(layer, shapes):
    """adjoint is the transpose of forward without its constants."""
    inputs = drawn(layer, shapes)
    constant = layer.forward(*(a * 0 for a in inputs))
    moved = layer.forward(*inputs) - constant
    relevance = np.random.default_rng(3).integers(-9, 10, moved.shape).astype(float)
    (back,) = layer.adjoint(relevance, inputs[0].shape)
    assert back.shape == inputs[0].shape
    assert (moved * relevance).sum() == pytest.approx((inputs[0] * back).sum(), rel=1e-12)
    exact = layer.adjoint(fractions(relevance), inputs[0].shape)[0]
    assert (exact == back).all()


@pytest.mark.parametrize(("layer", "shapes"), ALL)
def test_what_passes_relevance_and_what_does_not(layer, shapes):
    """Activations and rearrangements pass; Exp, Log, Pow and their like are refused by every preset, by name."""
    passes = isinstance(layer, (L.Activation, L.Rearrangement, L.Embedding))
    assert rules.Pass().fits(layer) == isinstance(layer, (L.Activation, L.Rearrangement, L.Linear, L.LRN, L.Embedding))
    own = (
        L.LRN,
        L.InstanceNorm,
        L.LayerNorm,
        L.GroupNorm,
        L.RMSNorm,
        L.LpNorm,
        L.MinMaxNorm,
        L.Maximum,  # of one signal
        L.Minimum,
        Pooling,
        L.Recurrent,
    )  # these have rules of their own
    if not passes and not isinstance(layer, (L.Linear, *own)) and layer.arity == 1:
        model = lrp_ref.Model.sequential([layer], names=["it"], input_shape=shapes[0])
        for name in ("epsilon_plus", "alpha1_beta0"):
            with pytest.raises(RuleError, match=rf"node 'it' \({type(layer).__name__}\)"):
                getattr(lrp_ref.composites, name)().assign(model)


def test_extreme_inputs_stay_finite():
    far = np.array([[-1e4, -800.0, -0.0, 0.0, 800.0, 1e4]])
    for layer in (L.ELU(), L.SELU(), L.CELU(), L.SiLU(), L.Mish(), L.HardSigmoid(), L.HardSwish(), L.Softsign()):
        with np.errstate(over="raise", invalid="raise"):
            assert np.isfinite(layer.forward(far)).all(), layer


BAD = {
    "ELU number": (lambda: L.ELU("much"), ParameterError, "ELU.alpha must be a number"),
    "CELU": (lambda: L.CELU(0), ParameterError, "must not be 0"),
    "Clip": (lambda: L.Clip(math.nan), ParameterError, "Clip.low must be finite"),
    "Slice": (lambda: L.Slice(0, 1, 0), ParameterError, "not the batch axis"),
    "Slice step": (lambda: L.Slice(0, 1, 1, 0), ParameterError, "must not be 0"),
    "Gather": (lambda: L.Gather((0,), 0), ParameterError, "batch axis"),
    "Gather cells": (lambda: L.Gather((3,)).shape((1, 3)), ShapeError, "picks cells 3 to 3 of an axis of 3"),
    "Expand": (lambda: L.Expand((3,)).shape((1, 2)), ShapeError, "do not expand"),
    "Expand extents": (lambda: L.Expand((-1,)), ParameterError, "must hold extents"),
    "Tile": (lambda: L.Tile((2,)).shape((1, 2, 2)), ShapeError, "1 axes beside the batch"),
    "Tile counts": (lambda: L.Tile((-2,)), ParameterError, "must not be negative"),
    "PadWith mode": (lambda: L.PadWith(((1, 1),), "odd"), ParameterError, "must be one of constant, reflect"),
    "PadWith pairs": (lambda: L.PadWith(((1, -1),)), ParameterError, "pairs of counts"),
    "PadWith reflect": (lambda: L.PadWith(((1, 1),), "reflect").shape((1, 1)), ShapeError, "nothing to pad with"),
    "DepthToSpace": (lambda: L.DepthToSpace(2).shape((1, 6, 2, 2)), ShapeError, "do not fit the channels"),
    "SpaceToDepth": (lambda: L.SpaceToDepth(2).shape((1, 1, 3, 2)), ShapeError, "do not fit the spatial axes"),
    "DepthToSpace mode": (lambda: L.DepthToSpace(2, "RCD"), ParameterError, '"DCR" or "CRD"'),
    "Attach": (lambda: L.Attach(np.ones((1, 3))).shape((1, 2, 2)), ShapeError, "Attach.before"),
    "RMSNorm": (lambda: L.RMSNorm(2).shape((1, 4)), ShapeError, "2 axes to normalise over"),
    "RMSNorm scale": (lambda: L.RMSNorm(1, np.ones(3)).shape((1, 4)), ParameterError, "does not fit the normalised axes"),
    "LpNorm p": (lambda: L.LpNorm(p=3), ParameterError, "LpNorm.p must be 1 or 2, found 3"),
    "LpNorm outside": (lambda: L.LpNorm(outside=-1), ParameterError, "LpNorm.outside must be finite and at least 0"),
    "LayerNorm outside": (lambda: L.LayerNorm(outside=-1), ParameterError, "LayerNorm.outside must be finite and at least 0"),
    "LayerNorm correction": (lambda: L.LayerNorm(correction=2), ParameterError, "LayerNorm.correction must be 0 or 1, found 2"),
    "LayerNorm of one": (lambda: L.LayerNorm(correction=1).shape((1, 1)), ShapeError, "one number has no variance"),
    "LpNorm axes": (lambda: L.LpNorm((0,)), ParameterError, "LpNorm.axes must be different axes other than the batch axis 0"),
    "LpNorm floor": (lambda: L.LpNorm(floor=-1), ParameterError, "LpNorm.floor must be finite and at least 0"),
    "MinMaxNorm": (lambda: L.MinMaxNorm((2,)).shape((1, 3)), ShapeError, "do not exist"),
    "MinMaxNorm empty": (lambda: L.MinMaxNorm().shape((1, 0)), ShapeError, "nothing to normalise over"),
    "Sum": (lambda: L.Sum((0,)), ParameterError, "batch axis 0"),
    "Sum axes": (lambda: L.Sum((3,)).shape((1, 2)), ShapeError, "do not exist"),
    "ReduceMax": (lambda: L.ReduceMax((1,)).shape((1, 0)), ShapeError, "nothing to take a maximum of"),
    "LpPool": (lambda: L.LpPool(2, p=0.5), ParameterError, "at least 1"),
    "LRN": (lambda: L.LRN(0), ParameterError, "at least 1"),
    "GroupNorm": (lambda: L.GroupNorm(3).shape((1, 4, 2)), ShapeError, "must divide the 4 channels"),
    "InstanceNorm": (lambda: L.InstanceNorm(np.ones(3)).shape((1, 4, 2)), ShapeError, "does not fit 4 channels"),
    "InstanceNorm empty": (lambda: L.InstanceNorm().shape((1, 4, 0)), ShapeError, "nothing to normalise over"),
    "LayerNorm": (lambda: L.LayerNorm(2).shape((1, 4)), ShapeError, "2 axes to normalise over"),
    "LayerNorm scale": (lambda: L.LayerNorm(1, np.ones(3)).shape((1, 4)), ParameterError, "does not fit the normalised axes"),
    "PReLU": (lambda: L.PReLU(np.ones(3)).shape((1, 4)), ShapeError, "PReLU.slope"),
    "Pow": (lambda: L.Pow(np.ones(3)).shape((1, 4)), ShapeError, "Pow.exponent"),
    "MatMul": (lambda: L.MatMul().shape((1, 2, 3), (1, 2, 3)), ShapeError, "no matrix product"),
    "StackedDense": (lambda: L.StackedDense(np.ones((2, 2))), ShapeError, r"must be \(\*stack, lower, upper\)"),
    "StackedDense rows": (lambda: L.StackedDense(np.ones((2, 3, 4))).shape((1, 2, 3)), ShapeError, r"\(N, …, 2, rows, 3\)"),
    "StackedDense stack": (lambda: L.StackedDense(np.ones((2, 3, 4))).shape((1, 5, 1, 3)), ShapeError, "whose stack axes differ"),
    "Compare": (lambda: L.Compare("≠"), ParameterError, "Compare.relation must be one of"),
    "Compare other": (lambda: L.Compare(">", np.ones(3)).shape((1, 4)), ShapeError, "Compare.other of shape"),
    "Where": (lambda: L.Where(np.ones(3)).shape((1, 4), (1, 4)), ShapeError, "Where.then of shape"),
    "Where inputs": (lambda: L.Where(0.0).shape((1, 4)), ShapeError, "Where has 2"),
    "Embedding": (lambda: L.Embedding(np.ones(3)), ShapeError, r"must be \(rows, features\)"),
    "Embedding rows": (
        lambda: L.Embedding(np.ones((3, 2))).forward(np.array([[3.0]])),
        ParameterError,
        "whole numbers from -3 to 2",
    ),
    "Embedding fraction": (lambda: L.Embedding(np.ones((3, 2))).forward(np.array([[0.5]])), ParameterError, "whole numbers"),
    "Resize mode": (lambda: L.Resize((2,), mode="odd"), ParameterError, "Resize.mode must be one of"),
    "Resize extents": (lambda: L.Resize((0,)), ParameterError, "positive extents"),
    "Resize scales": (lambda: L.Resize((2,), (1, 2)), ParameterError, "must hold 1 numbers"),
    "Resize scale": (lambda: L.Resize((2,), (0,)), ParameterError, "must be positive"),
    "Resize roi": (lambda: L.Resize((2,), coordinates="tf_crop_and_resize"), ParameterError, r"a \(start, end\) for each of 1"),
    "Resize roi of others": (lambda: L.Resize((2,), roi=((0, 1),)), ParameterError, "None with others"),
    "Resize roi pairs": (
        lambda: L.Resize((2,), coordinates="tf_crop_and_resize", roi=((0, 1, 2),)),
        ParameterError,
        r"a \(start, end\) for each of 1",
    ),
    "Resize empty": (lambda: L.Resize((2,)).shape((1, 0)), ShapeError, "nothing to interpolate"),
    "Reciprocal": (lambda: L.Reciprocal().forward(fractions(np.zeros((1, 1)))), ExactnessError, "1/0"),
    "Divide": (lambda: L.Divide().forward(*[fractions(np.zeros((1, 1)))] * 2), ExactnessError, "division by 0"),
    "Pow of 0": (lambda: L.Pow(-1.0).forward(fractions(np.zeros((1, 1)))), ExactnessError, "not rational"),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name):
    made, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        made()
    assert issubclass(kind, LrpError)


@pytest.mark.parametrize(("layer", "shapes"), ALL)
def test_they_are_stored_and_read(layer, shapes, tmp_path):
    names = tuple(f"x{k}" for k in range(layer.arity))
    model = lrp_ref.Model((lrp_ref.Node("it", layer, names),), names)
    path = lrp_ref.save(model, tmp_path / "model.npz")
    again = lrp_ref.load(path)
    assert repr(again["it"].layer) == repr(layer)
    inputs = dict(zip(names, drawn(layer, shapes), strict=True))
    assert (again(inputs) == model(inputs)).all()


def test_upsampling_by_resize_is_upsample():
    a = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    resized_ = L.Resize((3, 8, 15), None, "nearest", "asymmetric", "floor").forward(a)
    assert (resized_ == L.Upsample((2, 3)).forward(a)).all()


@pytest.mark.parametrize("layer", [L.LpNorm(), L.LpNorm(p=1), L.MinMaxNorm()], ids=repr)
def test_a_group_without_length_or_range_stays_zeros(layer):
    a = np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 2.0]])
    a = a + 3 if isinstance(layer, L.MinMaxNorm) else a
    assert (layer.forward(a)[0] == 0).all()
    assert (layer.vjp((a,), layer.forward(a), np.ones(a.shape))[0][0] == 0).all()


@pytest.mark.parametrize("layer", [L.LpNorm(), L.LpNorm(p=1), L.RMSNorm(), L.MinMaxNorm()], ids=repr)
def test_lengths_and_ranges_that_leave_the_range_are_refused(layer):
    """CONV-FLOAT-RANGE: the output would be 0 without a word."""
    with np.errstate(over="ignore"), pytest.raises(NonFiniteError, match=r"overflows float32"):
        layer.forward(np.array([[3e38, -3e38, 2e38]], dtype=np.float32))
    if layer.__class__ is L.LpNorm and layer.p == 2:
        with pytest.raises(UnderflowError, match=r"too small for float32"):
            layer.forward(np.array([[1e-30, -1e-30, 0]], dtype=np.float32))
