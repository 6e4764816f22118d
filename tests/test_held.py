"""Memory that nobody writes (CONV-IMMUTABLE): what is copied, what is adopted, and what can not be made writable again."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, rules
from lrp_ref import layers as L
from lrp_ref.composites import Composite
from lrp_ref.held import held, is_held

W = np.arange(6.0).reshape(3, 2)
X = np.array([[1.0, 2.0, 3.0]])


def misaligned(array):
    found = np.frombuffer(bytearray(array.nbytes + 3), np.uint8)[3:].view(array.dtype).reshape(array.shape)
    found[...] = array
    assert not found.flags.aligned
    return found


def views(array):
    yield from (array, array[...], array.T, array[::2], array[::-1], array.reshape(-1), array.view())


def test_a_layer_copies_and_takes_its_own_as_it_is():
    weight = W.copy()
    layer = L.Dense(weight)
    assert weight.flags.writeable
    assert not np.shares_memory(layer.weight, weight)
    again = L.Dense(layer.weight.T)
    assert np.shares_memory(again.weight, layer.weight)
    assert layer.astype(np.float64).weight is layer.weight


def test_nobody_makes_what_is_held_writable():
    for array in views(L.Dense(W).weight):
        assert is_held(array)
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("order", ["C", "F"])
def test_adopted_weights_are_not_copied(order):
    weight = np.array(W, order=order)
    layer = L.Dense(lrp_ref.adopt(weight))
    assert np.shares_memory(layer.weight, weight)
    assert layer.weight.strides == weight.strides
    with pytest.raises(ValueError, match="read-only"):
        weight[...] = 0
    assert (layer.forward(X) == X @ W).all()


def test_adopting_again_is_nothing_new():
    one = lrp_ref.adopt(W.copy())
    assert lrp_ref.adopt(one) is one
    assert held(one) is one


@pytest.mark.parametrize(
    "array", [np.zeros((0, 3)), np.float64(2.5), np.array(2.5), np.array([1, 2]), np.array([1.5], np.float16)]
)
def test_corners_are_adopted_too(array):
    found = lrp_ref.adopt(np.array(array))
    assert found.tolist() == np.array(array).tolist()
    assert not found.flags.writeable
    assert L.Scale(found).weight.tolist() == np.asarray(array, float).tolist()


def test_a_read_only_view_and_a_frozen_owner_are_copied():
    """Neither says that nobody else can write: another view may be older than the flag."""
    weight = W.copy()
    older, view = weight[:], weight.view()
    weight.flags.writeable = view.flags.writeable = False
    layers = [L.Dense(weight), L.Dense(view)]
    older[...] = 99
    assert all((layer.weight == W).all() for layer in layers)


def test_bytes_are_never_written():
    weight = np.frombuffer(W.tobytes(), float).reshape(W.shape)
    assert np.shares_memory(L.Dense(weight).weight, weight)


def test_memory_of_other_libraries_is_copied():
    """What shares its memory through an interface, as tensors do."""
    buffer = bytearray(W.tobytes())
    layer = L.Dense(np.frombuffer(buffer, float).reshape(W.shape))

    class Tensor:
        __array_interface__ = W.__array_interface__

    foreign = L.Dense(Tensor())
    buffer[:8] = b"\xff" * 8
    assert (layer.weight == W).all()
    assert not np.shares_memory(foreign.weight, W)


@pytest.mark.parametrize("make", [misaligned, lambda a: a.astype(a.dtype.newbyteorder())], ids=["misaligned", "byte order"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_arrays_that_c_cannot_read(make, dtype, backend):
    """Weights, bounds, inputs and starts, misaligned or of the other byte order: the same bits."""
    weight, x, start, low = (np.asarray(a, dtype) for a in (W, X, [[1.0, 3.0]], [0.0, 0.0, 0.0]))
    found = [
        Explainer(
            Model.sequential([L.Dense(change(weight)), L.ReLU(), L.Dense(change(weight[:2]))]),
            Composite((("dense1", rules.ZBox(change(low), change(low + 30))), ("relu1", rules.Pass()), ("dense2", rules.Zero()))),
            backend=backend,
        )(change(x), start=change(start)).relevance
        for change in (np.copy, make)
    ]  # fmt: skip
    assert found[0].dtype == found[1].dtype == dtype
    assert found[0].tobytes() == found[1].tobytes()


def test_copies_and_pickles_are_held_too():
    layer = L.Dense(W)
    for again in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):  # noqa: S301
        assert is_held(again.weight)
        assert (again.weight == W).all()


def test_a_file_s_arrays_are_the_reader_s_own(tmp_path):
    lrp_ref.save(Model.sequential([L.Dense(W)]), tmp_path / "one.npz")
    assert is_held(lrp_ref.load(tmp_path / "one.npz").nodes[0].layer.weight)
