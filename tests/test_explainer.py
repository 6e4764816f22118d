"""The Explainer: what it accepts, what it refuses and how it says so, and what it promises about itself."""

from __future__ import annotations

import copy
import dataclasses
import gc
import inspect
import pickle
import re
import threading
import tracemalloc
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Composite, Explainer, Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import (
    DomainError,
    HeadError,
    NonFiniteError,
    NumberTypeError,
    ParameterError,
    RuleError,
    ShapeError,
    TargetError,
    UnknownNameError,
)
from lrp_ref.sources import Source
from support.random_nets import NETS, conv, dense, network

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)

W1, W2 = np.array([[1.0, -1.0], [2.0, 1.0]]), np.array([[1.0, 2.0], [1.0, -1.0]])
X = np.array([[1.0, 2.0], [3.0, -1.0]])  # hidden (5, 1) and (1, 0); scores (6, 9) and (1, 2)


def small(**options: Any) -> Model:
    return Model.sequential([L.Dense(W1), L.ReLU(), L.Dense(W2)], **options)


def branches() -> Model:
    """Two inputs, two outputs, a dead branch."""
    nodes = (
        Node("sum", L.Add(), ("left", "right")),
        Node("relu", L.ReLU(), ("sum",)),
        Node("side", L.Dense(W1), ("left",)),
        Node("first", L.Dense(W2), ("relu",)),
        Node("second", L.Concat(), ("relu", "side")),
    )
    return Model(nodes, ("left", "right"), ("first", "second"))


# ---- one call ----------------------------------------------------------------------------------------------------------


@each_backend
def test_explain_is_an_explainer_called_once(backend):
    model, options = small(), {"rule": rules.Zero(), "keep": "all", "ledger": True, "backend": backend}
    one = lrp_ref.explain(model, X, target=0, **options)
    two = Explainer(model, **options)(X, 0)
    assert all(np.array_equal(one.at(name), two.at(name)) for name in one.relevances)
    assert one.ledger.to_json() == two.ledger.to_json()
    assert lrp_ref.explain(model, X, targets=(0, 1), backend=backend).relevance.shape == (2, 2, 2)


def test_the_default_composite_and_backend():
    explainer = Explainer(small())
    assert explainer(X).composite == "epsilon_plus"
    assert explainer(X).backend == lrp_ref.BACKENDS[-1]
    assert explainer.rules["dense1"] == rules.Epsilon(1e-6)
    assert set(explainer.rules) == {"dense1", "relu1", "dense2"}


@each_backend
@pytest.mark.parametrize("dtype", [np.float32, np.float64, object], ids=["float32", "float64", "exact"])
def test_every_array_keeps_the_number_type(backend, dtype):
    """CONV-DTYPE."""
    model, x = network("residual")
    rational = Model.sequential(
        [L.Conv(np.ones((2, 3, 2, 2)), padding=1), L.ReLU(), L.MaxPool(2), L.Flatten(), dense(np.random.default_rng(0), 18, 3)]
    )
    model, x = (rational, x) if dtype is object else (model, x)
    given = fractions(x) if dtype is object else x.astype(dtype)
    for call in (
        {},
        {"target": "all"},
        {"target": 0, "contrast": 1},
        {"filter": {model.nodes[0].name: 0}} if dtype is object else {},
    ):
        e = Explainer(
            model.astype(dtype),
            "epsilon_gamma_box" if dtype is not object else "epsilon_plus",
            keep="all",
            ledger=True,
            backend=backend,
        )(given, **call)
        kept = [*e.relevances.values(), e.prediction, e.value, e.total, e.residual, *e.activations.values()]
        assert all(a.dtype == dtype for a in kept)
        assert e.dtype == dtype


@each_backend
def test_a_start_may_hold_numbers_of_any_kind(backend):
    floats, rational = (
        Explainer(small(), rule=rules.Zero(), backend=backend),
        Explainer(small(), rule=rules.Zero(), precision="exact"),
    )
    for start in ([[1, 2]], np.array([[1, 2]], dtype=np.int8), [[1.0, 2.0]], fractions([[1, 2]])):
        assert rational(X[:1], start=start).relevance.tolist() == [[Fraction(2, 3), Fraction(7, 3)]]
        e = floats(X[:1], start=start)
        assert e.dtype == e.relevance.dtype == np.float64
        assert np.allclose(e.relevance, [[2 / 3, 7 / 3]], rtol=1e-14)


def test_precision_casts_the_model_and_the_input():
    model = small()
    for precision, dtype in (("float32", np.float32), ("float64", np.float64), ("exact", object)):
        e = Explainer(model, rule=rules.Zero(), precision=precision)(X, 0)
        assert e.dtype == e.relevance.dtype == dtype
        assert e.precision == precision
    assert e.relevance.tolist() == [[Fraction(0), Fraction(6)], [Fraction(3), Fraction(-2)]]
    assert e.backend == "reference"


def test_fast_is_named_where_it_makes_a_difference():
    for backend in lrp_ref.BACKENDS:
        explainer = Explainer(small(), rule=rules.Zero(), precision="fast", backend=backend, threads=2, memory="low")
        e = explainer(X, 0)
        assert e.dtype == np.float32
        assert e.precision == ("fast" if backend == "compiled" else "float32")
        described = f"{e.precision}, backend {backend}" + (", 2 threads, low memory" if backend == "compiled" else "")
        assert explainer.plan().described == described
        assert repr(explainer.plan()).startswith(f"plan: {described}\n")
        assert repr(explainer).splitlines()[0].endswith(f"head Logit(), {described}")


def test_parameters_of_two_number_types_are_brought_to_one():
    mixed = Model.sequential([L.Dense(W1.astype(np.float32)), L.BatchNorm([0.1, 0.2], [1.0, 2.0]), L.ReLU(), L.Dense(W2)])
    e = Explainer(mixed, keep="all")(X)
    assert {a.dtype for a in e.relevances.values()} == {np.dtype(np.float64)}
    assert np.allclose(e.prediction, mixed(X), rtol=1e-12)


@each_backend
def test_several_inputs_and_outputs(backend):
    model, x = branches(), {"left": X, "right": np.ones((2, 2))}
    first = Explainer(model, rule=rules.Zero(), output="first", keep="all", ledger=True, backend=backend)(x, 0)
    assert set(first.relevances) == {"left", "right", "sum", "relu", "first"}
    assert first.value.tolist() == [5.0, 4.0]
    assert np.allclose(first.relevance["left"], [[1, 2], [3, 0]])
    assert np.allclose(first.relevance["right"], [[1, 1], [1, 0]])
    second = Explainer(model, rule=rules.Zero(), output="second", backend=backend)(x, "all")
    assert second.relevance["left"].shape == (2, 4, 2)
    assert not second.relevance["right"][:, 2:].any()
    assert np.array_equal(second.prediction, model(x)["second"])


def test_an_input_that_the_output_does_not_depend_on_has_no_relevance():
    nodes = (Node("a", L.Dense(W1), ("left",)), Node("b", L.ReLU(), ("right",)))
    e = Explainer(Model(nodes, ("left", "right"), ("a",)), rule=rules.Zero())({"left": X, "right": X})
    assert e.relevance["right"].tolist() == [[0.0, 0.0]] * 2
    assert np.allclose(e.total, e.value)


# ---- the prediction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_the_reference_predicts_what_the_folded_model_predicts_bit_for_bit(kind, dtype):
    model, x = network(kind, dtype=dtype)
    folded = lrp_ref.canonize(model)
    e = Explainer(model, "epsilon_gamma_box", backend="reference")(x)
    assert e.prediction.tobytes() == folded(x).tobytes()
    assert (
        Explainer(model, "epsilon_gamma_box", backend="reference", canonize=False)(x).prediction.tobytes() == model(x).tobytes()
    )


@pytest.mark.parametrize("kind", NETS)
@each_backend
def test_every_backend_predicts_what_the_model_predicts_up_to_rounding(kind, backend):
    model, x = network(kind)
    e = Explainer(model, "epsilon_gamma_box", backend=backend)(x)
    expected = model(x)
    assert abs(e.prediction - expected).max() <= 1e-13 * abs(expected).max() * 10


def test_there_is_no_second_forward_pass(monkeypatch):
    """In the reference every layer computes once; in every backend the network is not run beside it."""
    calls: Counter[str] = Counter()
    for kind in (L.Dense, L.ReLU, L.Conv, L.MaxPool):
        original = kind.forward

        def counted(self, *inputs, _original=original, _name=kind.__name__):
            calls[_name] += 1
            return _original(self, *inputs)

        monkeypatch.setattr(kind, "forward", counted)
    monkeypatch.setattr(Model, "__call__", lambda *_: pytest.fail("the model was called"))
    monkeypatch.setattr(Model, "trace", lambda *_: pytest.fail("the model was traced"))
    model, x = network("plain")
    e = Explainer(model, "epsilon_plus", backend="reference", keep="all", ledger=True)(x, "all")
    assert e.prediction.shape == (2, 5)
    expected = Counter(type(node.layer).__name__ for node in model.nodes)
    assert calls == {name: expected[name] for name in ("Dense", "ReLU", "Conv", "MaxPool")}
    calls.clear()
    for backend in lrp_ref.BACKENDS[1:]:
        Explainer(model, "epsilon_plus", backend=backend)(x)
        assert all(calls[name] <= expected[name] for name in calls)


@pytest.mark.skipif("numpy" not in lrp_ref.BACKENDS, reason="lrp_ref/kernels is there for speed only")
def test_a_fused_network_maps_every_weight_once_on_the_way_up(monkeypatch):
    model, x = network("plain")
    explainer = Explainer(model, "epsilon_plus", backend="numpy")
    maps: Counter[int] = Counter()

    def counted(kind):
        original = kind.map

        def mapped(self, a, weight):
            maps[id(self)] += 1
            return original(self, a, weight)

        return mapped

    monkeypatch.setattr(L.Dense, "map", counted(L.Dense))
    monkeypatch.setattr(L.Conv, "map", counted(L.Conv))
    e = explainer(x)
    first = model["conv1"].layer  # sees signed inputs, for which αβ needs the reference's two more maps
    assert set(maps) <= {id(first)}
    assert e.backend == "numpy"


# ---- what it says about itself -----------------------------------------------------------------------------------------


def test_how_it_is_printed():
    explainer = Explainer(small(domain=(-3, 3)), "epsilon_gamma_box", backend="reference")
    lines = repr(explainer).splitlines()
    assert lines[0] == "Explainer: epsilon_gamma_box, head Logit(), float64, backend reference"
    assert re.split(r"\s{2,}", lines[1]) == ["node", "layer", "rule", "step"]
    assert re.split(r"\s{2,}", lines[2]) == ["dense1", "Dense(weight[2, 2])", "ZBox(low=-3.0, high=3.0)", "reference"]
    html = explainer._repr_html_()
    assert html.count("<tr>") == 4
    assert "ZBox(low=-3.0, high=3.0)" in html
    above = Explainer(Model.sequential([L.Dense(W1), L.Softmax()]), head="logit")
    assert re.split(r"\s{2,}", repr(above).splitlines()[-1]) == ["softmax1", "Softmax()", "–", "forward only"]


def test_html_is_escaped():
    model = Model.sequential([L.Dense(W1)], names=["<script>"])
    assert "<script>" not in Explainer(model)._repr_html_()
    assert "&lt;script&gt;" in Explainer(model)._repr_html_()


def test_a_choice_can_be_changed():
    model, x = network("residual")
    explainer = Explainer(model, composites.epsilon_gamma_box(-1, 1), keep=["add"], ledger=True, threads=1, memory="low")
    changed = explainer.replace(ledger=False, backend="reference")
    assert changed(x).ledger is None
    assert explainer(x).ledger is not None
    assert (changed.keep, changed.composite, changed.resources, changed.backend) == (
        *(explainer.keep, explainer.composite, explainer.resources),
        "reference",
    )
    with pytest.raises(TypeError, match="colour"):
        explainer.replace(colour="red")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])  # noqa: S301
@each_backend
def test_copies_explain_alike(again, backend):
    model, x = network("residual")
    explainer = Explainer(
        model, composites.epsilon_gamma_box(-1, 1), keep=["add"], ledger=True, precision="float32", backend=backend
    )
    before = explainer(x)
    other = again(explainer)
    after = other(x)
    assert before.relevance.tobytes() == after.relevance.tobytes()
    assert after.at("add").tobytes() == before.at("add").tobytes()
    assert repr(other) == repr(explainer)
    other.model.forget()
    assert other.model._memo.size == 0
    assert other(x).relevance.tobytes() == before.relevance.tobytes()


def test_nothing_can_be_changed_after_construction():
    """CONV-IMMUTABLE."""
    keep = ["dense1"]
    explainer = Explainer(small(), keep=keep)
    keep.append("nonsense")
    assert "dense1" in explainer(X).relevances
    with pytest.raises(dataclasses.FrozenInstanceError):
        explainer.keep = "all"  # type: ignore[misc]
    with pytest.raises(TypeError):
        explainer.rules["dense1"] = rules.Flat()  # type: ignore[index]
    once = Explainer(small(), keep=(name for name in ("dense1",)))
    assert "dense1" in once(X).relevances
    assert "dense1" in once(X).relevances, "an iterator is not used up"


def test_state_is_the_same_before_and_after_a_call():
    explainer = Explainer(small(), keep="all", ledger=True)
    before = {field.name: getattr(explainer, field.name) for field in dataclasses.fields(explainer)}
    explainer(X, "all")
    assert all(getattr(explainer, name) is value for name, value in before.items())


@each_backend
def test_four_threads_on_one_explainer_get_the_same_bits(backend):
    """CONV-THREAD-BITS, of Python threads."""
    model, x = network("residual", batch=3)
    explainer = Explainer(model, "epsilon_gamma_box", keep="all", ledger=True, backend=backend)
    inputs = [x[n % 3 :][:1] for n in range(4)]
    alone = [explainer(a, "all") for a in inputs]
    model.forget()
    found: dict[tuple[int, int], Any] = {}
    ready = threading.Barrier(4)

    def work(n: int) -> None:
        ready.wait()
        for turn in range(5):
            found[n, turn] = explainer(inputs[n], "all")
            if n == 0:
                model.forget()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    for (n, _), e in found.items():
        assert all(e.at(name).tobytes() == alone[n].at(name).tobytes() for name in alone[n].relevances)
        assert e.ledger.to_json() == alone[n].ledger.to_json()


# ---- memory ------------------------------------------------------------------------------------------------------------


def mid_size() -> tuple[Model, tuple[int, ...]]:
    rng = np.random.default_rng(0)
    layers: list[L.Layer] = []
    channels = 3
    for width in (12, 24):
        for _ in range(2):
            layers += [conv(rng, channels, width, 3, 3, padding=1), L.ReLU()]
            channels = width
        layers.append(L.MaxPool(2))
    layers += [L.Flatten(), dense(rng, 24 * 10 * 10, 64), L.ReLU(), dense(rng, 64, 6)]
    return Model.sequential(layers, domain=(-1, 1)).astype(np.float32), (2, 3, 40, 40)


@each_backend
@pytest.mark.parametrize("preset", ["epsilon_plus", "epsilon_alpha2_beta1", "lrp_overview"])
@pytest.mark.parametrize(("target", "count"), [("predicted", 1), ("all", 6)])
@pytest.mark.parametrize("keep", ["input", "all"])
def test_the_memory_estimate_is_within_a_factor_of_2_of_the_peak(backend, preset, target, count, keep):
    model, shape = mid_size()
    x = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    Explainer(mid_size()[0], preset, backend=backend, keep=keep)(x, target)  # a first use compiles loops, and makes classes
    explainer = Explainer(model, preset, backend=backend, keep=keep)
    estimate = explainer.memory_needed(shape, count)
    gc.collect()
    tracemalloc.start()
    explainer(x, target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    prepared = explainer.memory_needed(shape, count) - estimate
    assert prepared == 0, "estimating prepares the weights too"
    assert peak / 2 <= estimate <= peak * 2, (peak, estimate)


def test_memory_takes_a_shape_by_name_and_serves_rationals():
    explainer = Explainer(branches(), rule=rules.Zero(), output="first")
    assert explainer.memory_needed({"left": (3, 2), "right": (3, 2)}) > explainer.memory_needed({"left": (1, 2), "right": (1, 2)})
    rational = Explainer(small(), rule=rules.Zero(), precision="exact")
    assert rational.memory_needed((4, 2)) > 5 * Explainer(small(), rule=rules.Zero(), backend="reference").memory_needed((4, 2))
    assert Explainer(small()).memory_needed((0, 2)) >= 0
    with pytest.raises(ShapeError):
        Explainer(small()).memory_needed((4, 3))


def test_a_model_and_what_is_derived_from_it_have_one_memo():
    model, x = network("residual")
    for options in ({}, {"precision": "float32"}, {"canonize": False}, {"backend": "reference"}):
        explainer = Explainer(model, "epsilon_plus", **options)
        explainer(x)
        assert explainer._model._memo is model._memo
        assert explainer.plan({"input": x.shape[1:]}).model._memo is model._memo
    assert model._memo.size > 0
    model.forget()
    assert model._memo.size == 0


@pytest.mark.skipif("numpy" not in lrp_ref.BACKENDS, reason="lrp_ref/kernels is there for speed only")
def test_prepared_weights_are_made_once_and_shared_by_explainers():
    model, x = network("plain")
    Explainer(model, "epsilon_plus")(x)
    size = model._memo.size
    assert size > 0
    Explainer(model, "epsilon_plus")(x[:1])
    assert model._memo.size == size


# ---- refusals: choices -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"composite": "epsilon_plus", "rule": rules.Zero()},
            ParameterError,
            r"composite= or rule=, not both.*composites\.uniform",
        ),
        ({"composite": "epsilon_pluss"}, UnknownNameError, "unknown composite 'epsilon_pluss'. Did you mean 'epsilon_plus'"),
        ({"composite": ""}, UnknownNameError, "unknown composite ''"),
        ({"rule": rules.Pass()}, ParameterError, "a rule for linear layers"),
        ({"backend": "numpi"}, UnknownNameError, "unknown backend 'numpi'"),
        ({"precision": "float16"}, UnknownNameError, "unknown precision 'float16'. Did you mean"),
        ({"head": "logits"}, UnknownNameError, "unknown head 'logits'. Did you mean 'logit'"),
        ({"keep": "dense3"}, UnknownNameError, "unknown node to keep 'dense3'. Did you mean 'dense"),
        ({"keep": ("dense1", "conv")}, UnknownNameError, r"unknown node to keep 'conv'.*Known: input, dense1, relu1, dense2\."),
        ({"output": "dense1"}, UnknownNameError, "unknown output 'dense1'"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_choices_that_do_not_fit(options, error, message):
    with pytest.raises(error, match=message):
        Explainer(small(), **options)


def test_the_nearest_backend_is_named():
    for name in lrp_ref.BACKENDS:
        with pytest.raises(UnknownNameError, match=f"Did you mean '{name}'"):
            Explainer(small(), backend=name + "x")


def test_several_outputs_need_a_choice():
    with pytest.raises(TargetError, match="several outputs; choose output= from first, second"):
        Explainer(branches())


def test_a_folded_node_is_not_kept_not_filtered_and_no_start():
    layers = [L.Dense(W1), L.BatchNorm([0.0, 1.0], [1.0, 1.0]), L.ReLU(), L.Dense(W2)]
    model = Model.sequential(layers, input_shape=(2,))
    message = r"'batchnorm1'\..*It was folded into its linear neighbour"
    with pytest.raises(UnknownNameError, match=message):
        Explainer(model, keep="batchnorm1")
    explainer = Explainer(model)
    with pytest.raises(UnknownNameError, match=message):
        explainer(X, filter={"batchnorm1": 0})
    with pytest.raises(UnknownNameError, match=message):
        explainer(X, start=X, start_at="batchnorm1")
    assert "batchnorm1" in Explainer(model, keep="all", canonize=False)(X).relevances


def test_all_nodes_without_a_rule_are_listed():
    """CONV-NO-RULE."""
    model = Model.sequential([L.Dense(W1), L.Softmax(), L.Dense(W2), L.Tanh()])
    with pytest.raises(RuleError) as caught:
        Explainer(model, Composite(((L.Dense, rules.Zero()),)))
    for part in ("node 'softmax1' (Softmax)", "node 'tanh1' (Tanh)", "nothing matches", "Pass()", "explain the score before it"):
        assert part in str(caught.value)
    assert "dense" not in str(caught.value).replace("Dense(W", "")


def test_a_rule_that_does_not_serve_its_node_is_named():
    composite = composites.epsilon_plus().with_rules({"relu1": rules.Zero(), "dense2": rules.WinnerTakesAll()})
    with pytest.raises(RuleError) as caught:
        Explainer(small(), composite)
    won = "node 'dense2' (Dense): WinnerTakesAll(ties='lowest') does not serve it"
    for part in ("node 'relu1' (ReLU): Zero() does not serve it", won):
        assert part in str(caught.value)


def test_nodes_above_the_explained_output_need_no_rule():
    model = Model.sequential([L.Dense(W1), L.Softmax()])
    assert Explainer(model, Composite(((L.Dense, rules.Zero()),)), head="logit")(X).relevance.shape == (2, 2)


@each_backend
def test_pass_on_a_layer_that_changes_the_shape(backend):
    model = Model.sequential([L.Dense(np.ones((2, 3))), L.Dense(np.ones((3, 1)))])
    explainer = Explainer(model, composites.uniform(rules.Zero()).with_rules({"dense1": rules.Pass()}), backend=backend)
    with pytest.raises(RuleError, match=r"node 'dense1' \(Dense\): Pass needs equal shapes, Dense turns \(1, 2\) into \(1, 3\)"):
        explainer([[1.0, 2.0]])


def test_a_box_without_bounds():
    with pytest.raises(DomainError, match=r"node 'dense1'.*no domain for 'input'"):
        Explainer(small(), "epsilon_gamma_box")


@each_backend
def test_an_input_outside_the_box(backend):
    explainer = Explainer(small(domain=(0, 1)), "epsilon_gamma_box", backend=backend)
    with pytest.raises(DomainError, match=r"node 'dense1' \(Dense\): 3 input\(s\) leave the bounds of ZBox"):
        explainer(X)


# ---- refusals: calls ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"target": 2}, TargetError, r"target 2 is out of range: the output has 2 element\(s\), 0 to 1"),
        ({"target": [0]}, TargetError, r"target of shape \(1,\) is not one index for each of 2 sample\(s\)"),
        ({"target": 0, "targets": [1]}, TargetError, "give target= or targets=, not both"),
        ({"target": 0, "start": X}, TargetError, "start= is the relevance of the whole output: give it without target="),
        ({"targets": [0], "start": X}, TargetError, "give it without target="),
        ({"contrast": 0, "start": X}, TargetError, "give it without target="),
        ({"start_at": "relu1"}, TargetError, "start_at='relu1' needs start=, the relevance that starts there"),
        ({"start_at": "relu1", "target": 0}, TargetError, "needs start="),
        ({"start": X[:1]}, ShapeError, r"start must have the shape of 'dense2', \(2, 2\), found \(1, 2\)"),
        ({"start": X[0], "start_at": "relu1"}, ShapeError, r"the shape of 'relu1', \(2, 2\), found \(2,\)"),
        ({"start": X * np.nan}, NonFiniteError, "start has 4 value"),
        ({"start": [["a", "b"]] * 2}, TargetError, "start must hold numbers"),
        ({"start": np.array([[1, None]] * 2)}, NumberTypeError, "start: rationals need numbers, found None"),
        ({"start": X, "start_at": "relu"}, UnknownNameError, "unknown node to start at 'relu'. Did you mean 'relu1'"),
        ({"filter": {"relu9": 0}}, UnknownNameError, "unknown node to filter 'relu9'. Did you mean 'relu1'"),
        ({"filter": {"relu1": 2}}, ShapeError, r"the filter 2 does not fit node 'relu1', whose samples have shape \(2,\)"),
        ({"filter": {"relu1": (0, 1)}}, ShapeError, r"the filter \(0, 1\) does not fit node 'relu1'"),
        ({"filter": {"relu1": np.ones(3, dtype=bool)}}, ShapeError, "does not fit node 'relu1'"),
        ({"filter": {"relu1": [0.5]}}, ShapeError, "does not fit node 'relu1'"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
@each_backend
def test_calls_that_do_not_fit(backend, call, error, message):
    with pytest.raises(error, match=message):
        Explainer(small(), backend=backend)(X, **call)


def test_a_node_that_no_relevance_reaches_is_not_kept_and_not_filtered():
    explainer = Explainer(branches(), rule=rules.Zero(), output="first")
    with pytest.raises(UnknownNameError, match="node to keep 'side' is not below the explained output"):
        Explainer(branches(), rule=rules.Zero(), output="first", keep=("side",))
    with pytest.raises(UnknownNameError, match="'softmax1' is not below the explained output"):
        Explainer(Model.sequential([L.Dense(W1), L.Softmax()]), head="logit", keep="softmax1")
    x = {"left": X, "right": X}
    for call in ({"filter": {"side": 0}}, {"start": X, "start_at": "side"}):
        with pytest.raises(UnknownNameError, match="'side' is not below the explained output, so no relevance reaches it"):
            explainer(x, **call)


@each_backend
def test_deep_taylor_refuses_a_negative_start(backend):
    """CONV-DT-NEGATIVE."""
    model = small()
    for composite in ("deep_taylor", composites.deep_taylor(-3, 3)):
        explainer = Explainer(model, composite, backend=backend)
        with pytest.raises(TargetError, match=r"not defined for a negative start, found -2; .*allow_negative=True"):
            explainer([[-1.0, 0.0]], start=[[-2.0, 1.0]])
        with pytest.raises(TargetError, match="found -1"):
            explainer([[-1.0, 0.0]], 1)  # hidden (0, 1), scores (1, −1)
        with pytest.raises(TargetError, match="negative start"):
            explainer([[-1.0, 0.0]], "all")
        assert explainer([[-1.0, 0.0]], 0).relevance.sum() > 0
        allowed = Explainer(model, composite, backend=backend, allow_negative=True)
        assert np.allclose(allowed(X[:1], start=[[0.0, -2.0]]).relevance.sum(), -2)
    assert Explainer(model, "epsilon_plus", backend=backend)([[-1.0, 0.0]], 1).value[0] == -1


@each_backend
def test_relevance_that_is_not_finite_names_the_node(backend):
    """z = 1e-300 under LRP-0, and relevance of 1e300 from a start or from the other terms of a sum."""
    model = Model.sequential([L.Dense([[1e-300, 1.0], [0.0, 1.0]]), L.Dense([[1.0], [1.0]])], names=["tiny", "top"])
    explainer = Explainer(model, rule=rules.Zero(), backend=backend)
    with pytest.raises(
        NonFiniteError, match=r"the relevance at 'input' is not finite, as where a denominator above it is close to 0"
    ):
        explainer([[1e-8, 1.0]], start=[[1e308, 0.0]], start_at="tiny")


@each_backend
@pytest.mark.parametrize(("top", "named"), [(L.Conv([[[[1.0]]]]), "tiny"), (L.MaxPool(1), "second")], ids=["conv", "pool"])
def test_a_node_between_convolutions_is_named_though_its_step_need_not_look(backend, top, named):
    """Compiled convolutions and pools hand infinities on, and are looked at only when one arrives at the input."""
    layers = [L.Conv([[[[1.0]]]]), L.Conv([[[[1.0]]]]), L.Conv([[[[1e-300]]]]), top]
    model = Model.sequential(layers, names=["first", "second", "tiny", "top"])
    explainer = Explainer(model, rule=rules.Zero(), backend=backend)
    with pytest.raises(NonFiniteError, match=f"the relevance at '{named}' is not finite"):
        explainer(np.full((1, 1, 1, 1), 1e-8), start=np.full((1, 1, 1, 1), 1e308))


@each_backend
def test_activations_that_overflow_name_the_node(backend):
    model = Model.sequential([L.Dense([[1e200]]), L.ReLU(), L.Dense([[1e200]]), L.Dense([[1.0]])])
    with pytest.raises(NonFiniteError, match=r"the output of node 'dense2' has 1 value\(s\) that are NaN or infinite"):
        Explainer(model, backend=backend)([[1.0]])


@each_backend
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((1, 2), np.uint8), "number type uint8"),
        ([[np.nan, 1.0]], r"input 'input' has 1 value\(s\) that are NaN or infinite, the first nan at \(0, 0\)"),
        ([[1.0, 2.0, 3.0]], r"node 'dense1' \(Dense\): expected 2 features on the last axis, found shape \(1, 3\)"),
        ([1.0, 2.0], r"x\[None\]"),
    ],
    ids=["bytes", "NaN", "features", "batch axis"],
)
def test_inputs_that_do_not_fit(backend, x, message):
    """CONV-FINITE, CONV-BATCH-AXIS."""
    with pytest.raises(lrp_ref.errors.LrpError, match=message):
        Explainer(small(), backend=backend)(x)


def test_the_head_is_chosen_where_it_must_be():
    with pytest.raises(HeadError, match="choose head='logit'"):
        Explainer(Model.sequential([L.Dense(W1), L.Softmax()]))


def test_explain_spells_out_every_choice_of_an_explainer_and_of_its_call():
    """So that an editor completes `target=`; the defaults are the same."""

    def choices(function):
        return {
            name: p.default for name, p in inspect.signature(function).parameters.items() if name not in ("self", "model", "x")
        }

    assert choices(lrp_ref.explain) == choices(Explainer.__call__) | choices(Explainer.__init__)


def test_explain_hands_every_choice_on(monkeypatch):
    """Each under its own name: none is swapped with its neighbour."""
    made: dict[str, object] = {}

    def init(self, *values, **named):
        made.update(inspect.signature(real).bind(self, *values, **named).arguments)

    real = Explainer.__init__
    monkeypatch.setattr(Explainer, "__init__", init)
    monkeypatch.setattr(Explainer, "__call__", lambda self, x, target=None, **named: made.update(named, x=x, target=target))
    monkeypatch.setattr("lrp_ref.explainer.source_of", lambda model, x: Source(model))
    monkeypatch.setattr(Source, "named", lambda self, explanation: explanation)
    wanted = {name: object() for name in inspect.signature(lrp_ref.explain).parameters}
    lrp_ref.explain(**wanted)
    del made["self"]
    assert made == wanted
