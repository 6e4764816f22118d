"""The steps of derivatives, one layer at a time: every backend against the exact derivative, and bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Composite, Explainer, Explanation, Model, Predictor, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array
from lrp_ref.propagate.plan import plan
from support import recurrent_strategies
from support.one_layer import DTYPES, Around, fan, fed, model_of
from support.random_nets import NETS, network
from support.strategies import IRRATIONAL, KINDS, LINEAR, RATIONAL, Case, cases, fewer, floats
from support.wide_net import pictures, wide

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
FAST = [name for name in lrp_ref.BACKENDS if name != "reference"]
#: The backends that have a step for every derivative of a network of images. A new one may leave them to the reference.
COMPLETE = [name for name in ("jit", "numpy", "compiled") if name in lrp_ref.BACKENDS]


def bits(array: Array) -> tuple[Any, ...]:
    return array.shape, array.dtype, np.ascontiguousarray(array).tobytes()


def explained(case: Case, around: Around, **options: Any) -> Explanation:
    """The gradient that starts with the case's relevance at the end of the model."""
    dtype = case.inputs[0].dtype
    precision = {np.dtype(kind): name for name, kind in {"exact": object, **DTYPES}.items() if name != "fast"}[dtype]
    # No node is kept: then a layer and the ReLU behind it are served together.
    chosen = {"head": "unit", "canonize": False, "precision": precision} | options
    explain = Explainer(model_of(case, around), composites.gradient(), **chosen)
    return explain(fed(case, around), start=case.relevance)


def lower(e: Explanation, case: Case) -> list[Array]:
    return [e.at(f"x{i}") for i in range(len(case.inputs))]


@pytest.mark.parametrize("precision", ["float64", "float32"])
@each_backend
def test_linear_layers_lie_within_their_bound_of_the_exact_derivative(backend, precision):
    """|R_j − exact| ≤ 4·n·u·Σ|w||R|: no denominator, so κ plays no part."""
    dtype = DTYPES[precision]
    u = np.finfo(dtype).eps / 2

    @given(cases(*LINEAR, numbers=floats(), inputs=floats(), relevance=floats()))
    def check(drawn):
        case = drawn.astype(dtype)
        exact = case.astype(object)
        wanted = exact.layer.vjp(exact.inputs, exact.relevance, exact.relevance)
        layer, n = case.layer.astype(np.float64), fan(case.layer, case.inputs[0].shape, case.relevance.shape)
        for R, whole, a, w in zip(
            lower(explained(case, Around(), backend=backend), case), wanted, case.inputs, layer.weights, strict=True
        ):
            size = abs(layer.adjoint(abs(case.relevance.astype(np.float64)), abs(w), a.shape))
            assert R.dtype == dtype
            assert (abs(R - whole.astype(np.float64)) <= 4 * n * u * size).all()

    check()


@each_backend
@given(cases(*RATIONAL), st.booleans(), st.booleans())
def test_the_exact_derivative_on_small_numbers(backend, drawn, front, behind):
    """CONV-FLOAT-DYADIC: where every sum is exact so is the gradient, kinks included, in front of a ReLU and behind."""
    case, around = drawn.astype(np.float64), Around(front, behind)
    found, exact = lower(explained(case, around, backend=backend), case), lower(explained(case.astype(object), around), case)
    for R, wanted in zip(found, exact, strict=True):
        np.testing.assert_allclose(R, wanted.astype(np.float64), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("backend", FAST)
@fewer
@given(cases(*IRRATIONAL, numbers=floats(), inputs=floats(), relevance=floats()))
def test_smooth_layers_are_those_of_the_reference(backend, case):
    found, wanted = (lower(explained(case, Around(), backend=name), case)[0] for name in (backend, "reference"))
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("backend", FAST)
@fewer
@given(recurrent_strategies.cases(rational=False))
def test_recurrent_layers_are_those_of_the_reference(backend, case):
    found, wanted = (lower(explained(case, Around(), backend=name), case) for name in (backend, "reference"))
    for R, whole in zip(found, wanted, strict=True):
        np.testing.assert_allclose(R, whole, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("backend", FAST)
def test_a_batch_is_its_samples_one_by_one(backend, precision):
    """CONV-BATCH-BITS, with a ReLU behind and without."""

    @given(cases(*KINDS, numbers=floats(), inputs=floats(), relevance=floats(), batch=st.just(3)), st.booleans())
    def check(drawn, behind):
        case, around = drawn.astype(DTYPES[precision]), Around(behind=behind)
        whole = lower(explained(case, around, backend=backend), case)
        alone = lower(explained(case.sample(1), around, backend=backend), case)
        assert [bits(R) for R in alone] == [bits(R[1:2]) for R in whole]

    check()


@pytest.mark.parametrize("precision", ["float64", "float32", "fast"])
@each_backend
def test_looking_at_a_node_changes_no_bit(backend, precision):
    """CONV-OBSERVE-BITS: what arrives at a ReLU is not what arrives below it, so the two are served apart where one is kept."""
    x = pictures(2, DTYPES[precision])
    explain = Explainer(wide(), composites.gradient(), head="unit", backend=backend, precision=precision)
    wanted = explain(x, targets=(1, 3))
    everything = explain.replace(keep="all")(x, targets=(1, 3))
    assert bits(everything.relevance) == bits(wanted.relevance)
    assert bits(everything.prediction) == bits(wanted.prediction)
    defined = explain.replace(keep="all", backend="reference")(x, targets=(1, 3))
    for name, R in defined.relevances.items():
        assert abs(everything.at(name) - R).sum() <= 1e-4 * abs(R).sum(), name
    for keep in (("stem",), ("relu1", "dense"), ("sum", "left")):
        some = explain.replace(keep=keep)(x, targets=(1, 3))
        assert all(bits(some.at(name)) == bits(everything.at(name)) for name in some.relevances)
    for threads in (1, 3):
        assert bits(explain.replace(threads=threads)(x, targets=(1, 3)).relevance) == bits(wanted.relevance)


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("backend", FAST)
def test_filtering_and_starting_below(backend, kind):
    """A gradient is linear in what it starts with: channels of a node add up, and it goes on from where it is given."""
    model, x = network(kind)
    explain = Explainer(model, composites.gradient(), head="unit", backend=backend, keep="all")
    whole = explain(x, 1)
    name = next(node.name for node in explain.plan({"input": x.shape[1:]}).model.nodes if whole.at(node.name).ndim > 1)
    channels = whole.at(name).shape[1]
    parts = sum(explain(x, 1, filter={name: channel}).relevance for channel in range(channels))
    np.testing.assert_allclose(parts, whole.relevance, rtol=1e-9, atol=1e-12 * abs(whole.relevance).max())
    again = explain(x, start=whole.at(name), start_at=name).relevance
    assert np.isfinite(again).all()


@pytest.mark.parametrize("backend", COMPLETE)
def test_the_backends_own_steps_serve_it(backend):
    made = Explainer(wide(), composites.gradient(), head="unit", backend=backend).plan()
    labels = dict(made.rows())
    assert "filtered + relu2" in labels
    assert not [nodes for nodes, label in labels.items() if label == "reference"]
    assert set(made.currency.values()) == {"relevance"}


@pytest.mark.parametrize("backend", FAST)
def test_a_derivative_beside_other_rules_ends_where_they_begin(backend):
    """A derivative below a ReLU that passes everything on is not closed by it; and quotients meet derivatives as R."""
    x = pictures(2)
    # Above relu1 lies a derivative, which sends something to closed units as well.
    derivatives = tuple((name, rules.Gradient()) for name in ("stem", "filtered", "left", "relu3", "dense"))
    mixed = Composite(derivatives + composites.epsilon_plus().entries)
    for keep in ("all", "input"):
        found, wanted = (
            Explainer(wide(), mixed, head="unit", backend=name, keep=keep)(x, targets=(0, 2)) for name in (backend, "reference")
        )
        for name, R in wanted.relevances.items():
            np.testing.assert_allclose(found.at(name), R, rtol=1e-8, atol=1e-11 * abs(R).max(), err_msg=name)


@each_backend
def test_of_equal_cells_the_first_has_the_derivative(backend):
    """CONV-GRAD-KINK: a maximum belongs to its first argument; and ReLU is flat at 0, alone and behind a layer."""
    pooled = Model.sequential([L.MaxPool(2), L.Flatten()])
    x = np.array([[[[3.0, 3.0, 0.0, 1.0], [3.0, 3.0, 1.0, 1.0]]]])
    found = Explainer(pooled, "gradient", head="unit", backend=backend)(x, target="all").relevance
    assert found[0, :, 0].tolist() == [[[1, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 1], [0, 0, 0, 0]]]
    flat = Model.sequential([L.GlobalMaxPool(), L.Flatten()])
    assert Explainer(flat, "gradient", head="unit", backend=backend)(x[..., :2]).relevance.ravel().tolist() == [1, 0, 0, 0]
    for layers in ([L.Dense(np.eye(2)), L.ReLU()], [L.ReLU()]):
        e = Explainer(Model.sequential(layers), "gradient", head="unit", backend=backend)(np.array([[0.0, 2.0]]), target="all")
        assert e.relevance.tolist() == [[[0, 0], [0, 1]]]


@each_backend
def test_arrays_of_many_axes(backend):
    """The core's functions of each element take eight at most, the batch and the targets among them."""
    for axes in (6, 7, 8, 9):
        layers = [L.Reshape((1,) * (axes - 2) + (4,)), L.Tanh(), L.ReLU(), L.Reshape((4,)), L.Dense(np.eye(4))]
        model, x = Model.sequential(layers), np.array([[0.5, -1.0, 2.0, 0.25]])
        np.testing.assert_allclose(Predictor(model, backend)(x), model(x), rtol=1e-15)
        found = Explainer(model, "gradient", head="unit", backend=backend)(x, target="all").relevance[0]
        np.testing.assert_allclose(found, np.diag(np.where(x[0] > 0, 1 - np.tanh(x[0]) ** 2, 0)), rtol=1e-14)
        assert np.isfinite(Explainer(model, backend=backend)(x, target="all").relevance).all()


@each_backend
def test_a_derivative_that_is_to_be_booked_says_that_it_shares_nothing(backend):
    made = plan(wide(), {node.name: rules.Gradient() for node in wide().nodes}, backend, with_ledger=True)
    assert {label for _, label in made.rows()} == {"reference"}
