"""The loops that Numba compiles, each against its NumPy twin; skipped where Numba or `lrp_ref/kernels` is not there."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Composite, Explainer, Model, Node, rules, zoo
from lrp_ref import layers as L
from lrp_ref.arrays import Array
from lrp_ref.errors import MissingExtraError
from lrp_ref.layers.window import Window, gather, scatter, window_spread, window_sum
from lrp_ref.propagate import plan as plans
from support.strategies import FLOAT_TYPES, Geometry, geometries

pytest.importorskip("lrp_ref.kernels")
pytest.importorskip("numba", reason="backend=\"jit\" needs numba: pip install 'lrp_ref[numba]'")
from lrp_ref import kernels
from lrp_ref.kernels.jit import loops
from lrp_ref.kernels.jit import matrix_products as around
from lrp_ref.kernels.jit.conv import JitConv
from lrp_ref.kernels.jit.passes import WINDOWS
from lrp_ref.kernels.numpy import matrix_products as products
from lrp_ref.kernels.numpy import passes
from lrp_ref.kernels.numpy.linear import FusedLinear
from lrp_ref.kernels.numpy.max_pooling import SplitWinners, Winners

ROOT = Path(__file__).resolve().parents[2]
TARGETS = 2
seeds = st.integers(0, 2**32 - 1)
types = st.sampled_from(FLOAT_TYPES)


def window_of(g: Geometry) -> Window:
    return Window(g.kernel, g.stride, g.padding, g.dilation)


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    """Few values, so that there are ties and zeros of both signs; or any, which rounding tells apart."""
    some = rng.choice(np.array([-1.5, -0.0, 0.0, 0.0, 0.5, 2.0]), shape)
    return np.where(rng.random() < 0.5, some, rng.standard_normal(shape)).astype(dtype)


def same(found: Array, expected: Array) -> bool:
    """Bit for bit, the sign of zero included."""
    return (
        found.dtype == expected.dtype
        and found.shape == expected.shape
        and found.tobytes() == np.ascontiguousarray(expected).tobytes()
    )


def arrays(g: Geometry, dtype: Any, seed: int) -> tuple[Window, tuple[int, ...], Array, Array, np.random.Generator]:
    """A window, its outputs, an input, a message (samples, targets, …)."""
    rng, window = np.random.default_rng(seed), window_of(g)
    out = window.outputs(g.spatial)
    return window, out, numbers(rng, (2, 3, *g.spatial), dtype), numbers(rng, (2, TARGETS, 3, *out), dtype), rng


def step_for(kind: type, layer: L.Layer, rule: rules.Rule, windows: Any = WINDOWS) -> Any:
    return kind((Node("layer", layer, ("input",)),), rule, windows)


# ---- windows -----------------------------------------------------------------------------------------------------------


@given(geometries())
def test_spans_are_the_cells_of_every_tap(g):
    window = window_of(g)
    out = window.outputs(g.spatial)
    size = math.prod(g.spatial)
    cells = gather(np.arange(1.0, size + 1).reshape(1, 1, *g.spatial), window, out).reshape(window.taps, math.prod(out))
    found = np.zeros_like(cells)
    for row in around.table(window, g.spatial, out):
        for tap, (o, i, count) in enumerate(row):
            found[tap, o : o + count] = 1 + i + window.stride[-1] * np.arange(count)
    assert np.array_equal(found, cells)


@given(geometries(), types, seeds)
def test_sums_over_windows_and_their_transpose(g, dtype, seed):
    window, out, x, message, _ = arrays(g, dtype, seed)
    table, step = around.table(window, g.spatial, out), window.stride[-1]
    total = np.empty((6, math.prod(out)), dtype)
    loops.window_sums(x.reshape(6, -1), table, step, total)
    assert same(total.reshape(2, 3, *out), window_sum(x, window, out))
    s, lower = message[:, 0], np.empty((6, math.prod(g.spatial)), dtype)
    loops.window_spread(np.ascontiguousarray(s).reshape(6, -1), table, step, lower)
    assert same(lower.reshape(x.shape), window_spread(s, window, x.shape))


@given(geometries(), types, seeds)
def test_columns_and_their_transpose(g, dtype, seed):
    window, out, x, _, rng = arrays(g, dtype, seed)
    table, step = around.table(window, g.spatial, out), window.stride[-1]
    columns = np.full((2, 3, window.taps, math.prod(out)), np.nan, dtype)
    loops.gather(x.reshape(2, 3, -1), table, step, columns)
    expected = gather(x, window, out)
    assert same(columns.reshape(expected.shape), expected)
    columns, lower = numbers(rng, columns.shape, dtype), np.zeros((2, 3, math.prod(g.spatial)), dtype)
    loops.scatter(columns, table, step, lower)
    assert same(lower.reshape(x.shape), scatter(columns.reshape(expected.shape), window, x.shape))


# ---- maxima ------------------------------------------------------------------------------------------------------------


@st.composite
def pools(draw: st.DrawFn) -> tuple[L.MaxPool, Array, Array]:
    """A maximum pooling whose every window sees a cell, an input, and a message."""
    g = draw(geometries())
    if not gather(np.ones((1, 1, *g.spatial), bool), window_of(g), window_of(g).outputs(g.spatial)).any(axis=2).all():
        room = tuple(max(size, d * (k - 1) + 1) for size, d, k in zip(g.spatial, g.dilation, g.kernel, strict=True))
        g = replace(g, padding=((0, 0),) * g.dims, spatial=room)
    _, _, x, message, _ = arrays(g, draw(types), draw(seeds))
    return L.MaxPool(g.kernel, g.stride, g.padding, g.dilation), x, message


@given(pools())
def test_winners_and_what_they_are_sent(drawn):
    layer, x, message = drawn
    for rule, kind in ((rules.WinnerTakesAll(), Winners), (rules.WinnerTakesAll("split"), SplitWinners)):
        numpy, own = (step_for(kind, layer, rule, windows) for windows in (passes.WINDOWS, WINDOWS))
        best, saved = numpy.forward(x)
        found, kept = own.forward(x)
        assert np.array_equal(found, best)
        assert same(own.relevance(kept, message)[0][0], numpy.relevance(saved, message)[0][0]), rule


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
def test_messages_of_nine_windows_add_up_in_the_order_of_numpy(dtype):
    """Where three and more meet, another order has other last bits."""
    rng = np.random.default_rng(3)
    layer, message = L.MaxPool(3, stride=1, padding=1), rng.standard_normal((2, TARGETS, 3, 9, 9)).astype(dtype)
    peaks, flat = np.zeros((2, 3, 9, 9), dtype), np.ones((2, 3, 9, 9), dtype)
    peaks[:, :, 1::3, 1::3] = 1
    for x, rule, kind in ((peaks, rules.WinnerTakesAll(), Winners), (flat, rules.WinnerTakesAll("split"), SplitWinners)):
        steps = [step_for(kind, layer, rule, windows) for windows in (passes.WINDOWS, WINDOWS)]
        lower = [step.relevance(step.forward(x)[1], message)[0][0] for step in steps]
        assert same(lower[1], lower[0]), rule
    table = around.table(Window((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)), (9, 9), (9, 9))
    spread = np.empty((6, 81), dtype)
    loops.window_spread(np.ascontiguousarray(message[:, 0]).reshape(6, 81), table, 1, spread)
    assert same(
        spread.reshape(2, 3, 9, 9), L.SumPool(3, stride=1, padding=1).adjoint(message[:, 0], np.ones(1, dtype), peaks.shape)
    )


def test_of_equal_cells_the_first_wins_and_a_nan_stays():
    x = np.array([[[1.0, 1.0, 0.0, -0.0, 2.0, np.nan, np.nan, 3.0, np.nan, np.nan]]])
    best, (winner, _, _) = step_for(Winners, L.MaxPool(2), rules.WinnerTakesAll()).forward(x)
    assert np.array_equal(best, [[[1.0, 0.0, np.nan, np.nan, np.nan]]], equal_nan=True)
    assert winner[0, 0, :2].tolist() == [0, 2]


# ---- linear layers -----------------------------------------------------------------------------------------------------


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[L.Conv, Array, Array]:
    """A convolution of any groups, an input that a ReLU can give, and a message."""
    g, dtype, rng = draw(geometries()), draw(types), np.random.default_rng(draw(seeds))
    if draw(st.booleans()):  # what has few channels and no stride goes without columns
        g = replace(g, stride=(1,) * g.dims)
    groups, lower, upper = draw(st.sampled_from([(1, 2, 3), (3, 1, 1), (2, 1, 2), (2, 2, 1), (2, 2, 3)]))
    weight = numbers(rng, (groups * upper, lower, *g.kernel), dtype)
    out = window_of(g).outputs(g.spatial)
    bias = draw(st.sampled_from([None, (), out]))
    bias = None if bias is None else numbers(rng, (groups * upper, *bias), dtype)
    layer = L.Conv(weight, bias, stride=g.stride, padding=g.padding, dilation=g.dilation, groups=groups)
    x = np.maximum(numbers(rng, (2, groups * lower, *g.spatial), dtype), 0)
    return layer, x, numbers(rng, (2, TARGETS, groups * upper, *out), dtype)


RULES = (rules.Zero(), rules.Epsilon(0.25), rules.Epsilon(0.25, signed=False), rules.GeneralizedGamma(0.5), rules.AlphaBeta(2, 1))


def both(layer: L.Layer, rule: rules.Rule, x: Array, rectified: bool) -> list[Any]:
    """NumPy's step and jit's for a layer between a ReLU and what hands on quotients, or R."""
    behind = [L.ReLU()] if rectified else []
    composite = Composite(((type(layer), rule), (L.ReLU, rules.Pass())))
    model = Model.sequential([L.ReLU(), layer, *behind]).astype(x.dtype)
    shapes = {"input": x.shape[1:]}
    return [Explainer(model, composite, canonize=False, backend=b).plan(shapes).steps[1] for b in ("numpy", "jit")]


@given(
    convolutions(), st.sampled_from(RULES), st.booleans(), st.sampled_from(["relevance", "ratio"]), st.sampled_from([10**8, 200])
)
def test_a_convolution_is_the_numpy_step(drawn, rule, rectified, takes, block):
    """Whatever the blocks. Sums of products in another order: to 4·n·u of the sums of sizes, by the layer of absolute values."""
    layer, x, message = drawn
    numpy, own = (replace(step, takes=takes) for step in both(layer, rule, x, rectified))
    assert isinstance(numpy, FusedLinear)
    assert isinstance(own, JitConv) != products.pointwise(layer.window)  # single cells gain nothing
    if products.pointwise(layer.window):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "BLOCK", block)
        z, (_, factors, *_) = numpy.forward(x)
        output, saved = own.forward(x)
        u = np.finfo(x.dtype).eps / 2
        n = 1 + max(math.prod(layer.weight.shape[1:]), layer.weight.shape[0] * math.prod(layer.weight.shape[2:]))
        size = layer.map(x, abs(layer.weight)) + (0 if layer.bias is None else abs(layer.offset(x.ndim)))
        assert output.dtype == x.dtype
        assert (abs(output - z) <= 4 * n * u * size).all()
        assert all(f.shape == g.shape for f, g in zip(saved.factors, factors, strict=True))
        # From the same factors down, so that a denominator that rounding makes of a zero is no part of it.
        (lower,), _ = own.relevance(saved._replace(factors=factors), message)
        (expected,), _ = numpy.relevance(saved._replace(factors=factors), message)
    weights = 3 * abs(layer.weight) + abs(layer.weight).max(initial=0)
    parts = [
        layer.adjoint(passes.folded(abs(passes.weighed(message, f, takes))), weights, (2 * TARGETS, *x.shape[1:]))
        for f in factors
    ]
    assert (abs(lower - expected) <= 4 * n * u * sum(parts).reshape(lower.shape)).all()


@given(types, seeds, st.sampled_from(RULES), st.booleans(), st.sampled_from(["relevance", "ratio"]))
def test_factors_are_bit_for_bit_those_of_numpy(dtype, seed, rule, rectified, takes):
    rng = np.random.default_rng(seed)
    layer = L.Conv(numbers(rng, (4, 3, 1, 2), dtype), numbers(rng, (4,), dtype))
    x = np.maximum(numbers(rng, (2, 3, 5, 4), dtype), 0)
    numpy, own = (replace(step, takes=takes) for step in both(layer, rule, x, rectified))
    output, (made, factors, *_) = own.forward(x)
    z, bottoms = numpy.products(made, (x,))
    top = np.maximum(z, np.zeros_like(z)) if rectified else z
    assert np.array_equal(output, top)
    for share, bottom, factor in zip(made.shares, bottoms, factors, strict=True):
        assert same(factor, passes.factor(share, bottom, z, top, takes, rectified)[0])


@pytest.mark.parametrize("rectified", [False, True])
def test_shares_for_one_sign_go_by_the_pre_activation_and_zero_counts_as_not_negative(rectified):
    """z = 0 and z = −1, also where the output behind a ReLU is 0 for both; under the γ-rule no denominator is 0."""
    x, layer = np.ones((1, 2, 1, 1)), L.Conv(np.array([[[[1.0]], [[-1.0]]], [[[1.0]], [[-2.0]]]]))
    numpy, own = (replace(step, takes="relevance") for step in both(layer, rules.GeneralizedGamma(0.5), x, rectified))
    found, expected = (step.forward(x)[1][1] for step in (own, numpy))
    assert len(found) == 2
    assert [f.ravel().tolist() for f in found] == [f.ravel().tolist() for f in expected] == [[0.5, np.inf], [np.inf, -2.0]]


@given(geometries(), types, seeds)
def test_a_transposed_convolution(g, dtype, seed):
    rng, out = np.random.default_rng(seed), window_of(g).outputs(g.spatial)
    small = numbers(rng, (2, 4, *out), dtype)
    weight = numbers(rng, (4, 3, *g.kernel), dtype)
    try:
        layer = L.ConvTranspose(weight, stride=g.stride, padding=g.padding, dilation=g.dilation, groups=2)
        shape = layer.shape(small.shape)
    except lrp_ref.errors.LrpError:
        return  # padding that leaves nothing
    own = both(layer, rules.Zero(), small, False)[1]
    assert own.label.startswith("jit, transposed")
    size, u = layer.map(abs(small), abs(weight)), np.finfo(dtype).eps
    assert (abs(own._total((small,), (layer.weight,)) - layer.map(small, layer.weight)) <= 100 * u * size).all()
    quotient, made = numbers(rng, shape, dtype), own.prepared
    found = own._adjoint(made, 0, [quotient], small.shape)
    size = layer.adjoint(abs(quotient), abs(weight), small.shape)
    assert (abs(found - layer.adjoint(quotient, layer.weight, small.shape)) <= 200 * u * size).all()


def test_whatever_lies_in_memory_is_taken():
    """Read-only, misaligned, reversed and channels-last arrays: copied, and never a compilation of their own."""
    x = np.arange(2 * 3 * 6 * 6, dtype=np.float32).reshape(2, 3, 6, 6)
    odd = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    step = step_for(Winners, L.MaxPool(2), rules.WinnerTakesAll())
    expected = step.forward(x)[0]
    known = len(loops.winners.signatures)
    for same_numbers in (odd, last, x[::-1][::-1], np.broadcast_to(x[:1], x.shape)):
        assert np.array_equal(step.forward(same_numbers)[0][0], expected[0])
    assert len(loops.winners.signatures) == known


# ---- the backend -------------------------------------------------------------------------------------------------------


def test_jit_steps_serve_what_they_are_for():
    """A silent return to NumPy would leave every other test green."""
    rows = dict(Explainer(zoo.load("digits_bn"), "epsilon_plus", backend="jit").plan({"input": (1, 8, 8)}).rows())
    labels = " ".join(rows.values())
    assert "jit, columns, c → c" in labels
    assert "jit, winners, c" in labels
    conv = L.Conv(np.ones((3, 1, 3, 3)), groups=3)
    chain = [L.ReLU(), conv, L.AvgPool(2), L.ConvTranspose(np.ones((3, 2, 2, 2))), L.MaxPool(2), L.MaxPool(1), L.Flatten()]
    model = Model.sequential([*chain, L.Dense(np.ones((2 * 3 * 3, 2)))], input_shape=(3, 14, 14))
    pooling = (("maxpool1", rules.WinnerTakesAll("split")), ("maxpool2", rules.Proportional()))
    composite = Composite((*pooling, *lrp_ref.composites.uniform(rules.Epsilon()).entries))
    rows = dict(Explainer(model, composite, backend="jit").plan({"input": (3, 14, 14)}).rows())
    assert rows["conv1"] == "jit, direct, c → c"
    assert rows["avgpool1"] == "jit, windows, c → c"
    assert rows["convtranspose1"] == "jit, transposed, c → c"
    assert rows["maxpool1"] == "jit, shared winners, c"
    assert rows["maxpool2"] == "jit, as a sum, c → c"
    assert rows["dense1"] == "numpy, fused, R → c"


def test_it_is_there_and_not_the_default():
    assert "jit" in lrp_ref.BACKENDS
    assert lrp_ref.BACKENDS[-1] in ("numpy", "compiled")


def test_without_numba_there_is_no_jit_and_asking_for_it_names_the_extra(monkeypatch):
    model, there = Model.sequential([L.Dense([[1.0], [2.0]])]), kernels.find_spec
    monkeypatch.setattr(kernels, "find_spec", lambda name: None if name == "numba" else there(name))
    without = ("reference", *kernels.installed())
    assert "jit" not in without
    assert "numpy" in without
    monkeypatch.setattr(plans, "BACKENDS", without)
    monkeypatch.setattr("lrp_ref.propagate.versions.BACKENDS", without)
    with pytest.raises(MissingExtraError, match=r'backend="jit" needs numba: pip install \'lrp_ref\[numba\]\''):
        Explainer(model, rule=rules.Zero(), backend="jit")
    with pytest.raises(MissingExtraError, match=r"lrp_ref\[numba\]"):
        plans.plan(model, {"dense1": rules.Zero()}, "jit")


WITHOUT = """
import numpy as np, lrp_ref
from lrp_ref import layers as L, rules
import lrp_ref.kernels.jit.loops as loops
assert loops.numba is None
count = np.zeros((1, 1, 2))
loops.ties(np.ones((1, 1, 2)), np.ones((1, 1, 2)), np.array([[[0, 0, 2]]]), 1, count)
assert count.tolist() == [[[1.0, 1.0]]], "plain Python is right, too"
assert "jit" in lrp_ref.BACKENDS, "there is a numba"
lrp_ref.Explainer(lrp_ref.Model.sequential([L.Dense([[1.0]])]), rule=rules.Zero(), backend="jit").plan()
"""


def in_a_process(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run([sys.executable, "-c", program], env=path, capture_output=True, text=True, timeout=300, check=False)


def test_a_numba_that_cannot_be_imported_is_an_error_by_name(tmp_path):
    """As one that does not know the NumPy that is there; whoever imports all modules of the package meets no error."""
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 1.9 or less')")
    done = in_a_process(WITHOUT, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.stderr.splitlines()[-1].endswith("backend=\"jit\" needs numba: pip install 'lrp_ref[numba]'"), done.stderr
    assert "Numba needs NumPy 1.9 or less" in done.stderr


def test_importing_the_package_and_other_backends_does_not_import_numba():
    program = """
import sys, numpy as np, lrp_ref
from lrp_ref import layers as L, rules
model = lrp_ref.Model.sequential([L.MaxPool(2)])
for backend in lrp_ref.BACKENDS:
    if backend != "jit":
        lrp_ref.explain(model, np.ones((1, 1, 4)), target=(0, 0), backend=backend)
assert "numba" not in sys.modules
lrp_ref.explain(model, np.ones((1, 1, 4)), target=(0, 0), backend="jit")
assert "numba" in sys.modules
"""
    done = in_a_process(program)
    assert done.returncode == 0, done.stderr


def test_where_nothing_can_be_written_it_compiles_for_the_process_alone(tmp_path):
    """Numba refuses to keep what it compiles where it finds no directory; the loops then go without."""
    package = tmp_path / "lrp_ref"
    shutil.copytree(ROOT / "lrp_ref", package, ignore=shutil.ignore_patterns("__pycache__", "zoo"))
    program = """
import numpy as np
from numba.core import caching
def refused(self):
    raise OSError("read-only file system")
caching._CacheLocator.ensure_cache_path = refused  # what a directory that cannot be written comes to, for root as well
from lrp_ref.kernels.jit import loops
best, winner = np.empty((1, 2)), np.empty((1, 2), np.int32)
loops.winners(np.array([[1.0, 2.0, 4.0, 3.0]]), np.array([[[0, 0, 2], [0, 1, 2]]]), 2, best, winner)
assert best.tolist() == [[2.0, 4.0]] and winner.tolist() == [[1, 2]]
assert loops.winners.signatures and not loops.winners.stats.cache_path
"""
    done = in_a_process(program, PYTHONPATH=str(tmp_path), NUMBA_CACHE_DIR="")
    assert done.returncode == 0, done.stderr
    assert not list(package.rglob("*.nbi"))
