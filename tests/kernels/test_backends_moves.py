"""Slices, picks and joins along any axis: what every backend hands down, and accounts for, is what the definition does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array
from lrp_ref.messages import Inbox, PartialMessage

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
SHAPE = (4, 5, 6)

PICKS = {
    "from the front": L.Slice(0, 3, axis=2),
    "from behind": L.Slice(-2, None, axis=3),
    "of channels": L.Slice(1, 3, axis=1),
    "every second": L.Slice(1, None, axis=3, step=2),
    "backwards": L.Slice(None, None, axis=-1, step=-1),
    "backwards to the first": L.Slice(3, None, axis=2, step=-3),
    "one cell": L.Gather((2,), axis=2),
    "a permutation": L.Gather((3, 0, 2, 1), axis=1),
    "at one step": L.Gather((5, 3, 1), axis=3),
    "some again": L.Gather((1, -1, 1, 0, 1), axis=3),
    "all again": L.Gather((2, 2, 2), axis=2),
    "tiles": L.Tile((1, 2, 1)),
    "tiles of two axes": L.Tile((1, 2, 2)),
    "mirrored": L.PadWith(((0, 0), (0, 0), (3, 2)), "reflect"),
    "constant": L.PadWith(((0, 0), (2, 0), (0, 0)), "constant", 0.5),
    "nothing added": L.PadWith(((0, 0), (0, 0), (0, 0)), "edge"),
}


def numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-8, 9, shape) / 8


def dense(seed: int, lower: int, upper: int) -> L.Dense:
    return L.Dense(numbers(seed, lower, upper), numbers(seed + 1, upper))


def behind(layer: L.Layer, weighs: bool) -> Model:
    """A picking layer behind a convolution; R arrives at it (from a Scale that passes), or c (from a dense layer)."""
    cells = int(np.prod(layer.shape((1, *SHAPE))[1:]))
    nodes = [Node("conv", L.Conv(numbers(1, 4, 3, 1, 1)), ("input",)), Node("picked", layer, ("conv",))]
    nodes += [] if weighs else [Node("relu", L.ReLU(), ("picked",)), Node("passed", L.Softplus(), ("relu",))]
    nodes += [Node("flat", L.Flatten(), (nodes[-1].name,)), Node("scores", dense(2, cells, 3), ("flat",))]
    return Model(tuple(nodes), input_shape=(3, *SHAPE[1:]))


def branches() -> Model:
    """One array that is read whole, by slices that overlap, one inside another, and by a concatenation along each axis."""
    nodes = [
        Node("conv", L.Conv(numbers(1, 4, 3, 1, 1)), ("input",)),
        Node("before", L.Slice(-2, None, axis=3), ("conv",)),
        Node("after", L.Slice(0, 3, axis=3), ("conv",)),
        Node("wide", L.Concat(3, axis=3), ("before", "conv", "after")),
        Node("rows", L.Slice(1, 4, axis=2), ("conv",)),
        Node("inner", L.Slice(0, None, axis=2, step=2), ("rows",)),
        Node("high", L.Concat(3, axis=-2), ("inner", "conv", "rows")),
        Node("deep", L.Concat(2, axis=1), ("conv", "conv")),
        *(Node(f"{name}.flat", L.Flatten(), (name,)) for name in ("wide", "high", "deep", "conv")),
        *(
            Node(f"{name}.scores", dense(i, cells, 3), (f"{name}.flat",))
            for i, (name, cells) in enumerate((("wide", 220), ("high", 240), ("deep", 240), ("conv", 120)))
        ),
        Node("sum", L.Add(inputs=4), tuple(f"{name}.scores" for name in ("wide", "high", "deep", "conv"))),
    ]
    return Model(tuple(nodes), input_shape=(3, *SHAPE[1:]))


def explained(model: Model, backend: str, x: Array, **choices: Any) -> lrp_ref.Explanation:
    return Explainer(model, composites.uniform(rules.Zero()), backend=backend, ledger=True, **choices)(x, "all")


def same(found: lrp_ref.Explanation, expected: lrp_ref.Explanation) -> None:
    np.testing.assert_allclose(found.prediction, expected.prediction, rtol=1e-12)
    for name, R in expected.relevances.items():
        np.testing.assert_allclose(found.at(name), R, rtol=1e-11, atol=1e-11 * abs(R).max(), err_msg=name)
    assert [entry.node for entry in found.ledger] == [entry.node for entry in expected.ledger]
    for entry in expected.ledger:
        for column in ("arriving", "inputs", "unassigned", "turnover", "arriving_abs", "inputs_abs"):
            own, scale = getattr(found.ledger[entry.node], column), abs(entry.booking.turnover).max()
            wanted = getattr(entry.booking, column)
            np.testing.assert_allclose(own, wanted, rtol=1e-11, atol=1e-11 * scale, err_msg=f"{entry.node} {column}")


@each_backend
@pytest.mark.parametrize("weighs", [False, True], ids=["R", "c"])
@pytest.mark.parametrize("name", list(PICKS))
def test_a_picking_layer_hands_down_what_the_definition_does(name, weighs, backend):
    model, x = behind(PICKS[name], weighs), numbers(5, 2, 3, *SHAPE[1:])
    for keep in ("input", "all"):
        same(explained(model, backend, x, keep=keep), explained(model, "reference", x, keep=keep))


@each_backend
def test_what_reads_parts_of_an_array_adds_up_there(backend):
    model = branches()
    for batch in (2, 1, 0):
        x = numbers(6, batch, 3, *SHAPE[1:])
        for choices in ({}, {"keep": "all"}, {"keep": ("rows", "conv")}):
            if batch:
                same(explained(model, backend, x, **choices), explained(model, "reference", x, **choices))
            else:
                assert explained(model, backend, x, **choices).relevance.shape == (0, 3, 3, *SHAPE[1:])


@each_backend
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_batch_has_the_bits_of_its_samples(precision, backend):
    x = np.random.default_rng(1).standard_normal((3, 3, *SHAPE[1:]))
    for model in (branches(), *(behind(PICKS[name], True) for name in ("every second", "some again", "mirrored"))):
        explain = Explainer(model, composites.uniform(rules.Zero()), backend=backend, precision=precision)
        whole = explain(x, "all").relevance
        for n in range(3):
            assert explain(x[n : n + 1], "all").relevance.tobytes() == whole[n : n + 1].tobytes()


@each_backend
def test_where_the_input_lies_changes_no_bit(backend):
    """Slices are views of what is given: of a transposed array, of one with gaps, or of one that starts at any byte."""
    x = np.random.default_rng(1).standard_normal((2, 3, *SHAPE[1:])).astype(np.float32)
    gaps = np.zeros((2, 6, *SHAPE[1:]), np.float32)
    gaps[:, ::2] = x
    odd = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    nodes = [Node("part", L.Slice(None, None, axis=3, step=-2), ("input",)), Node("more", L.Slice(1, 3, axis=1), ("part",))]
    nodes += [Node("flat", L.Flatten(), ("more",)), Node("scores", dense(3, 30, 2), ("flat",))]
    explain = Explainer(Model(tuple(nodes), input_shape=(3, *SHAPE[1:])), backend=backend, precision="float32")
    expected = explain(x, "all")
    for given in (np.asfortranarray(x), gaps[:, ::2], odd):
        found = explain(given, "all")
        assert found.relevance.tobytes() == expected.relevance.tobytes()
        assert found.prediction.tobytes() == expected.prediction.tobytes()


@pytest.mark.skipif("compiled" not in lrp_ref.BACKENDS, reason="the compiled core is not built")
def test_the_compiled_backend_serves_all_of_them():
    plan = Explainer(branches(), composites.uniform(rules.Zero()), backend="compiled").plan()
    labels = dict(plan.rows())
    assert all("picks" in labels[name] for name in ("before", "after", "rows", "inner")), labels
    assert all("concat in place" in labels[name] for name in ("wide", "high", "deep")), labels


# ---- what meets at a node ------------------------------------------------------------------------------------------------------


def placed(values: Array, where: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
    whole = np.zeros(shape, values.dtype)
    whole[where] = values
    return whole


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1)])
def test_messages_are_added_up_in_the_order_in_which_they_come(order):
    """To the bit, as whole arrays of zeros would be; no array that was handed in changes."""
    rng, shape = np.random.default_rng(2), (2, 1, 3, 7)
    every = slice(None)
    wheres = [(every, every, every, slice(1, 5)), None, (every, every, np.array([2, 0])), None]
    parts = [rng.standard_normal(shape if w is None else np.zeros(shape)[w].shape).astype(np.float32) for w in wheres]
    inbox, expected = Inbox(), None
    for i in order:
        w, part = wheres[i], parts[i]
        kept = part.copy()
        inbox.add("relevance", part if w is None else PartialMessage(part, w, shape))
        dense_part = kept if w is None else placed(kept, w, shape)
        expected = dense_part if expected is None else expected + dense_part
        assert inbox["relevance"].tobytes() == expected.tobytes()
    assert "ratio" not in inbox
    assert len(inbox) == 1
    again = np.random.default_rng(2)
    for w, part in zip(wheres, parts, strict=True):
        np.testing.assert_array_equal(part, again.standard_normal(part.shape).astype(np.float32), err_msg=str(w))


def test_a_message_alone_keeps_the_order_of_its_memory_and_has_no_negative_zero():
    values = np.full((1, 1, 5, 4, 3), -0.0).transpose(0, 1, 4, 2, 3)  # channels last
    whole = PartialMessage(values, (slice(None), slice(None), slice(None), slice(0, 10, 2)), (1, 1, 3, 10, 4)).full()
    assert whole.shape == (1, 1, 3, 10, 4)
    assert not np.signbit(whole).any()
    assert whole.transpose(0, 1, 3, 4, 2).flags.c_contiguous


def test_rationals_add_up_too():
    from fractions import Fraction

    third = np.array([[[Fraction(1, 3)] * 2]], dtype=object)
    inbox = Inbox()
    for _ in range(3):
        inbox.add("relevance", third)
    assert inbox["relevance"].tolist() == [[[1, 1]]]
    assert third.tolist() == [[[Fraction(1, 3)] * 2]]
