"""A predictor predicts what its model defines: every kind of layer, every backend, whatever the batch; what it refuses."""

from __future__ import annotations

import copy
import gc
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Explainer, Model, Node, Predictor
from lrp_ref import layers as L
from lrp_ref.arrays import Array, fractions
from lrp_ref.errors import LrpError, NonFiniteError, ParameterError, ShapeError, UnknownNameError
from lrp_ref.network.extents import Extents
from support import recurrent_strategies
from support.one_layer import DTYPES, PRECISIONS, Around, fan, fed, model_of
from support.random_nets import NETS, conv, dense, network
from support.strategies import KINDS, LINEAR, cases, fewer, floats
from support.wide_net import pictures, wide

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)
compiled = pytest.mark.skipif("compiled" not in lrp_ref.BACKENDS, reason="the compiled core is not built")
#: The backends whose own steps are known here.
COMPLETE = [name for name in ("jit", "numpy", "compiled") if name in lrp_ref.BACKENDS]


def bits(array: Array) -> tuple[Any, ...]:
    return array.shape, array.dtype, array.tobytes()


# ---- what it computes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float32"])
@each_backend
@pytest.mark.parametrize("kind", LINEAR)
def test_linear_layers_lie_within_their_bound_of_the_exact_value(kind, backend, precision):
    """CONV-FLOAT-GENERAL: |z − exact| ≤ 4·n·u·Σ|terms|, in front of a ReLU and behind one."""
    dtype = DTYPES[precision]
    u = np.finfo(dtype).eps / 2

    @fewer
    @given(cases(kind, numbers=floats(), inputs=floats()), st.booleans(), st.booleans())
    def check(drawn, front, behind):
        case, around = drawn.astype(dtype), Around(front, behind)
        model, x = model_of(case, around), fed(case, around)
        z = model.astype(object)({name: fractions(a) for name, a in x.items()}).astype(np.float64)
        found = Predictor(model, backend, precision, canonize=False)(x)
        assert (found.shape, found.dtype) == (z.shape, dtype)
        layer, wide_ = case.layer.astype(np.float64), [a.astype(np.float64) for a in case.inputs]
        inputs = [np.maximum(a, 0) if front else a for a in wide_]
        bias = layer.offset(z.ndim)
        size = sum(layer.map_absolute(a, w) for a, w in zip(inputs, layer.weights, strict=True))
        size = size if bias is None else size + abs(bias)
        assert (abs(found - z) <= 4 * (1 + fan(layer, inputs[0].shape, z.shape)) * u * size).all()

    check()


@each_backend
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LINEAR])
def test_other_layers_are_those_of_the_model(kind, backend):
    @fewer
    @given(cases(kind, numbers=floats(), inputs=floats()))
    def check(case):
        model, x = model_of(case, Around()), fed(case, Around())
        found, wanted = Predictor(model, backend)(x), model(x)
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(found, wanted, rtol=2e-15, atol=0)

    check()


@each_backend
@given(recurrent_strategies.cases(rational=False))
def test_recurrent_layers_are_those_of_the_model(backend, case):
    names = tuple(f"x{i}" for i in range(len(case.inputs)))
    model, x = Model((Node("layer", case.layer, names),), names), dict(zip(names, case.inputs, strict=True))
    found = Predictor(model, backend)(x)
    np.testing.assert_allclose(found, model(x), rtol=1e-12, atol=1e-14)
    alone = Predictor(model, backend)({name: a[-1:] for name, a in x.items()})
    assert bits(alone) == bits(found[-1:])


@pytest.mark.parametrize("kind", NETS)
@each_precision
@each_backend
def test_networks_are_those_of_the_model_and_a_batch_is_its_samples(backend, precision, kind):
    """In relative L1: 16 u' (measured: at most 3), u' the spacing of floats at 1. CONV-BATCH-BITS."""
    model, x = network(kind, batch=5)
    dtype = DTYPES[precision]
    narrow, x = model.astype(dtype), x.astype(dtype)
    predictor = Predictor(model, backend, precision)
    found, wanted = predictor(x), narrow.astype(np.float64)(x.astype(np.float64))
    assert found.dtype == dtype
    assert abs(found - wanted).sum() <= 16 * np.finfo(dtype).eps * abs(wanted).sum()
    for chosen in ([4], [1, 3], [4, 2, 0]):
        assert bits(predictor(x[chosen])) == bits(found[chosen])
    assert predictor(x[:0]).shape == (0, *found.shape[1:])


@each_backend
def test_every_kind_of_kernel(backend):
    """Direct and filtered convolutions, groups, scatter, pools, branches, a concatenation; with every number of threads."""
    x = pictures(3)
    wanted = wide()(x)
    for precision in PRECISIONS:
        found = Predictor(wide(), backend, precision, threads=1)(x.astype(DTYPES[precision]))
        assert abs(found - wanted).sum() <= 16 * np.finfo(found.dtype).eps * abs(wanted).sum()
        for threads in (2, 3):
            assert bits(Predictor(wide(), backend, precision, threads)(x.astype(DTYPES[precision]))) == bits(found)


@pytest.mark.parametrize("backend", COMPLETE)
def test_fast_backends_serve_it_with_their_own_steps(backend):
    rows = dict(Predictor(wide(), backend).plan().rows())
    assert "stem + relu1" in rows
    assert all(label.startswith((backend, "numpy")) for nodes, label in rows.items() if nodes != "pool1"), rows
    assert rows["pool1"] == "forward only" if backend == "numpy" else rows["pool1"].startswith(backend)
    assert rows["dense + relu7"].startswith("numpy" if backend == "jit" else backend)


def test_rationals_are_exact():
    model, x = network("plain", batch=1)
    x = np.round(x[:, :, :, :], 2)
    small = Model.sequential([dense(np.random.default_rng(0), 3, 4), L.ReLU(), dense(np.random.default_rng(1), 4, 2)])
    found = Predictor(small, precision="exact")(fractions(x[:, :3, 0, 0]))
    assert found.tolist() == small.astype(object)(fractions(x[:, :3, 0, 0])).tolist()
    assert Predictor(small.astype(object)).plan().backend == "reference"
    assert Predictor(model, "reference", canonize=False)(x).tolist() == model(x).tolist()


# ---- several inputs and outputs --------------------------------------------------------------------------------------------


def branches() -> Model:
    rng = np.random.default_rng(2)
    nodes = (
        Node("a", dense(rng, 3, 4), ("left",)),
        Node("b", dense(rng, 3, 4), ("right",)),
        Node("sum", L.Add(), ("a", "b")),
        Node("relu", L.ReLU(), ("sum",)),
        Node("first", dense(rng, 4, 2), ("relu",)),
        Node("second", dense(rng, 4, 3), ("sum",)),
    )
    return Model(nodes, ("left", "right"), ("second", "relu", "first"))


@each_backend
def test_several_inputs_and_outputs_go_by_name(backend):
    rng = np.random.default_rng(3)
    x = {"left": rng.normal(size=(3, 3)), "right": rng.normal(size=(3, 3))}
    model = branches()
    found, wanted = Predictor(model, backend)(x), model(x)
    assert list(found) == list(wanted) == ["second", "relu", "first"]
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-14, atol=1e-15)


@each_backend
def test_an_output_that_is_folded_away_keeps_its_name(backend):
    rng = np.random.default_rng(4)
    norm = L.BatchNorm(rng.normal(size=2), rng.uniform(1, 2, 2), rng.normal(size=2), rng.normal(size=2))
    nodes = (Node("conv", conv(rng, 2, 2, 1, 1), ("input",)), Node("norm", norm, ("conv",)), Node("side", L.Tanh(), ("input",)))
    model, x = Model(nodes, outputs=("norm", "side")), rng.normal(size=(2, 2, 3, 3))
    predictor = Predictor(model, backend)
    assert "norm" not in predictor.plan({"input": (2, 3, 3)}).model
    for name, array in model(x).items():
        np.testing.assert_allclose(predictor(x)[name], array, rtol=1e-13, atol=1e-14)


class Broken(L.Identity):
    def forward(self, *inputs: Array) -> Array:
        raise AssertionError("nothing reads this")


@each_backend
def test_what_no_output_depends_on_is_not_computed_and_an_explainer_still_sees_it(backend):
    rng = np.random.default_rng(5)
    nodes = (Node("a", dense(rng, 3, 2), ("input",)), Node("b", Broken(), ("a",)), Node("c", dense(rng, 2, 2), ("a",)))
    model = Model(nodes, outputs=("c",))
    x = rng.normal(size=(2, 3))
    np.testing.assert_allclose(Predictor(model, backend)(x), model(x), rtol=1e-14)
    plan = Explainer(model, "epsilon_plus", backend=backend).plan({"input": (3,)})
    assert "b" in plan.model


def test_a_network_with_open_extents_is_laid_out_for_what_it_is_given():
    def read(shapes: Any) -> Model:
        (channels, *_) = shapes["input"]
        return Model.sequential([L.Scale(np.full((channels, 1, 1), 2.0)), L.GlobalSumPool(), L.Flatten()])

    laid = read({"input": (1, 2, 2)})
    model = replace(laid, extents=Extents(read, laid.nodes))
    predictor = Predictor(model)
    for shape in ((2, 1, 3, 3), (1, 4, 2, 5)):
        assert predictor(np.ones(shape)).tolist() == model(np.ones(shape)).tolist()
    assert predictor.plan({"input": (4, 2, 5)}).model["scale1"].layer.weight.shape == (4, 1, 1)


# ---- a value ---------------------------------------------------------------------------------------------------------------


@each_backend
def test_copies_and_pickles_predict_the_same_bits(backend):
    predictor = Predictor(wide(), backend, "fast", 2, "low")
    x = pictures(2, np.float32)
    wanted = bits(predictor(x))
    for other in (copy.copy(predictor), copy.deepcopy(predictor), pickle.loads(pickle.dumps(predictor))):  # noqa: S301
        assert (other.backend, other.precision, other.threads, other.memory) == (backend, "fast", 2, "low")
        assert bits(other(x)) == wanted
    assert bits(replace(predictor, threads=1)(x)) == wanted


def test_it_is_frozen_and_shared_by_threads():
    predictor = Predictor(wide())
    with pytest.raises(FrozenInstanceError):
        predictor.backend = "numpy"
    x = pictures(4)
    wanted = [bits(predictor(x[n : n + 1])) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: bits(predictor(x[n % 4 : n % 4 + 1])), range(16)))
    assert found == wanted * 4


@each_backend
def test_what_comes_out_is_the_callers_own(backend):
    predictor = Predictor(Model.sequential([L.Identity()]), backend)
    x = np.ones((2, 3))
    first = predictor(x)
    first += 1
    assert x.tolist() == np.ones((2, 3)).tolist()
    assert predictor(x).tolist() == x.tolist()
    assert predictor(x).flags.c_contiguous


def test_its_table_names_the_steps():
    text = repr(Predictor(wide(), "reference"))
    assert text.startswith("Predictor: float64, backend reference")
    assert "filtered" in text


@compiled
def test_its_plan_computes_with_what_was_chosen():
    made = Predictor(wide(), "compiled", "fast", 3, "low").plan()
    assert made.described == "fast, backend compiled, 3 threads, low memory"


@compiled
def test_memory_low_keeps_no_transformed_weights():
    assert "F(" in repr(Predictor(wide()))
    assert "F(" not in repr(Predictor(wide(), memory="low"))


# ---- memory ----------------------------------------------------------------------------------------------------------------


def deep(convolutions: int) -> Model:
    rng = np.random.default_rng(0)
    blocks: list[L.Layer] = [conv(rng, 3, 16, 3, 3, padding=1), L.ReLU()]
    for _ in range(convolutions):
        blocks += [conv(rng, 16, 16, 3, 3, padding=1), L.ReLU()]
    return Model.sequential([*blocks, L.GlobalAvgPool(), L.Flatten(), dense(rng, 16, 4)], input_shape=(3, 48, 48))


def peak(run: Any, x: Array) -> int:
    gc.collect()
    tracemalloc.start()
    run(x)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@each_backend
def test_memory_is_as_told_and_does_not_grow_with_depth(backend):
    """Within a factor of 2 of the peak that is measured, whatever the depth."""
    x = np.random.default_rng(1).normal(size=(2, 3, 48, 48))
    peaks = []
    for convolutions in (3, 9):
        predictor = Predictor(deep(convolutions), backend)
        told = predictor.memory_needed(x.shape)
        predictor(x)
        peaks.append(peak(predictor, x))
        prepared = predictor.plan({"input": (3, 48, 48)}).model._memo.size
        assert predictor.memory_needed(x.shape) == told, "estimating prepares the weights too"
        assert (told - prepared) / 2 <= peaks[-1] <= 2 * told
    assert peaks[1] < 1.1 * peaks[0]


# ---- what it refuses ---------------------------------------------------------------------------------------------------------


def test_choices_that_there_are_not():
    with pytest.raises(UnknownNameError, match="unknown backend 'nunpy'"):
        Predictor(wide(), "nunpy")
    with pytest.raises(UnknownNameError, match="unknown precision 'half'"):
        Predictor(wide(), precision="half")
    with pytest.raises(UnknownNameError, match="unknown memory 'none'"):
        Predictor(wide(), memory="none")
    with pytest.raises(ParameterError, match="threads"):
        Predictor(wide(), threads=0)


@each_backend
@pytest.mark.parametrize(
    "given",
    [
        np.ones((3, 19, 34)),
        np.ones((1, 3, 19, 33)),
        np.ones((1, 3, 19, 34), np.uint8),
        np.full((1, 3, 19, 34), np.nan),
        {"other": np.ones((1, 3, 19, 34))},
        {},
        "words",
    ],
    ids=["no batch", "shape", "bytes", "not a number", "name", "nothing", "words"],
)
def test_inputs_are_refused_as_the_model_refuses_them(backend, given):
    with pytest.raises(LrpError) as wanted:
        wide()(given)
    with pytest.raises(type(wanted.value)) as found:
        Predictor(wide(), backend)(given)
    assert str(found.value) == str(wanted.value)


def test_a_node_that_no_output_needs_still_has_to_fit():
    rng = np.random.default_rng(6)
    nodes = (Node("a", dense(rng, 3, 2), ("input",)), Node("b", dense(rng, 5, 2), ("input",)))
    model = Model(nodes, outputs=("a",))
    for run in (model, Predictor(model), Explainer(model, "epsilon_plus")):
        with pytest.raises(ShapeError, match="'b'"):
            run(np.ones((1, 3)))


@each_backend
def test_an_output_that_is_not_finite_is_refused_by_the_node_that_made_it(backend):
    layers = [L.Dense(np.full((2, 2), 1e200)), L.ReLU(), L.Dense(np.full((2, 2), 1e200)), L.Dense(np.eye(2))]
    model, x = Model.sequential(layers), np.array([[1.0, 1.0]])
    with pytest.raises(NonFiniteError, match="'dense2'") as found:
        Predictor(model, backend)(x)
    with pytest.raises(NonFiniteError) as wanted:
        Explainer(model, "epsilon_plus", backend=backend)(x)
    assert str(found.value) == str(wanted.value)
