"""Nothing changes after it was made (CONV-IMMUTABLE), whatever happens to the arrays that the caller still holds.

Written from the kind's description, without sight of the code. After a change in place of the caller's array each prediction and
explanation has the bits that it had; that the array became read-only (a ValueError) is as good.
"""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, rules
from lrp_ref import layers as L

backends = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)


def spoil(array):
    """Write into the caller's array, through a view of it too."""
    for part in (array, array[...]):
        try:
            part[...] = 99.0
        except ValueError:  # it became read-only
            assert not part.flags.writeable


def numbers(*shape, seed=0, low=-1.0):
    return np.random.default_rng(seed).uniform(low, 1, shape)


SEQUENCE, IMAGE, ROW = (2, 3, 2), (2, 2, 6, 6), (2, 4)

# name: the arrays that the caller holds, the layers made of them, and the shape of the input
HELD = {
    "dense": ({"w": (4, 3), "b": (3,)}, lambda w, b: [L.Dense(w, b)], ROW),
    "two dense that share": ({"w": (4, 4), "b": (4,)}, lambda w, b: [L.Dense(w, b), L.ReLU(), L.Dense(w, b)], ROW),
    "stacked": ({"w": (2, 3, 5)}, lambda w: [L.StackedDense(w)], (2, 2, 4, 3)),
    "convolution": ({"w": (3, 2, 3, 3), "b": (3,)}, lambda w, b: [L.Conv(w, b, padding=1), L.ReLU()], IMAGE),
    "many channels": ({"w": (32, 16, 3, 3), "b": (32,)}, lambda w, b: [L.Conv(w, b, padding=1), L.ReLU()], (1, 16, 12, 12)),
    "a map as bias": ({"w": (3, 2, 3, 3), "b": (3, 6, 6)}, lambda w, b: [L.Conv(w, b, padding=1)], IMAGE),
    "depthwise": ({"w": (2, 1, 3, 3)}, lambda w: [L.Conv(w, groups=2)], IMAGE),
    "transposed": ({"w": (2, 3, 2, 2), "b": (3,)}, lambda w, b: [L.ConvTranspose(w, b, stride=2)], IMAGE),
    "scale": ({"w": (2, 1, 1), "b": (2, 1, 1)}, lambda w, b: [L.Scale(w, b)], IMAGE),
    "scale and convolution": ({"s": (2, 1, 1), "w": (3, 2, 3, 3)}, lambda s, w: [L.Scale(s), L.Conv(w)], IMAGE),
    "PReLU": ({"slope": (2, 1, 1)}, lambda slope: [L.PReLU(slope)], IMAGE),
    "attached": ({"before": (1, 6, 6), "after": (2, 6, 6)}, lambda before, after: [L.Attach(before, after)], IMAGE),
    "instance norm": ({"g": (2,), "s": (2,)}, lambda g, s: [L.InstanceNorm(g, s)], IMAGE),
    "layer norm": ({"g": (4,), "s": (4,)}, lambda g, s: [L.LayerNorm(1, g, s)], ROW),
    "where": ({"then": (4,), "other": (4,)}, lambda then, other: [L.Where(then, other)], ROW),
    "plain recurrent": ({"w": (1, 2, 3), "u": (1, 3, 3), "b": (1, 3)}, lambda w, u, b: [L.RNN(w, u, b)], SEQUENCE),
    "LSTM": ({"w": (1, 2, 12), "u": (1, 3, 12), "b": (1, 12)}, lambda w, u, b: [L.LSTM(w, u, b)], SEQUENCE),
    "LSTM of arrays": ({"w": (2, 12), "u": (3, 12), "b": (12,)}, lambda w, u, b: [L.LSTM.from_arrays(w, u, b)], SEQUENCE),
    "LSTM in its own order": (
        {"w": (2, 12), "u": (3, 12), "b": (12,)},
        lambda w, u, b: [L.LSTM.from_arrays(w, u, b, gate_order="ifog")],
        SEQUENCE,
    ),
    "LSTM's start": (
        {"h": (1, 3), "c": (1, 3), "p": (1, 9)},
        lambda h, c, p: [L.LSTM(numbers(1, 2, 12), numbers(1, 3, 12), initial_hidden=h, initial_cell=c, peepholes=p)],
        SEQUENCE,
    ),
    "GRU": ({"w": (1, 2, 9), "u": (1, 3, 9), "b": (1, 9)}, lambda w, u, b: [L.GRU(w, u, b)], SEQUENCE),
    "GRU's two biases": (
        {"b": (1, 9), "r": (1, 3), "h": (1, 3)},
        lambda b, r, h: [L.GRU(numbers(1, 2, 9), numbers(1, 3, 9), b, h, bias_recurrent=r, linear_before_reset=True)],
        SEQUENCE,
    ),
}
LINEAR = [n for n in HELD if n not in ("attached", "where", "instance norm", "layer norm")]


def whole(model, shape, backend, **choices):
    """A prediction and an explanation as bytes."""
    x = numbers(*shape, seed=5)
    start = np.ones(model(x).shape)
    e = lrp_ref.explain(model, x, start=start, rule=rules.Epsilon(0.25), backend=backend, **choices)
    return model(x).tobytes() + e.relevance.tobytes() + e.prediction.tobytes()


def hold(name, kind=float, order="C"):
    shapes, make, shape = HELD[name]
    held = {k: np.asarray(numbers(*s, seed=i), kind, order=order) for i, (k, s) in enumerate(shapes.items())}
    return held, make(*held.values()), shape


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_predictions_keep_their_bits(name, kind, order):
    held, layers, shape = hold(name, kind, order)
    model, x = Model.sequential(layers), numbers(*shape, seed=5)
    before = model(x).tobytes()
    for array in held.values():
        spoil(array)
        assert model(x).tobytes() == before


@pytest.mark.parametrize("name", LINEAR)
@backends
def test_explanations_keep_their_bits(name, backend):
    held, layers, shape = hold(name)
    model = Model.sequential(layers)
    before = whole(model, shape, backend)
    for array in held.values():
        spoil(array)
    assert whole(model, shape, backend) == before
    model.forget()
    assert whole(model, shape, backend) == before


@pytest.mark.parametrize("name", LINEAR)
@backends
def test_also_where_the_change_comes_before_the_first_use(name, backend):
    held, layers, shape = hold(name)
    model = Model.sequential(layers)
    untouched = Model.sequential(hold(name)[1])
    for array in held.values():
        spoil(array)
    assert whole(model, shape, backend) == whole(untouched, shape, backend)


@pytest.mark.parametrize("name", ["dense", "convolution", "many channels", "LSTM", "scale and convolution"])
@backends
def test_an_explainer_keeps_its_bits_too(name, backend):
    held, layers, shape = hold(name)
    explainer = lrp_ref.Explainer(Model.sequential(layers), rule=rules.Epsilon(0.25), backend=backend)
    x = numbers(*shape, seed=5)
    start = np.ones(explainer.model(x).shape)
    before = explainer(x, start=start).relevance.tobytes()
    for array in held.values():
        spoil(array)
    assert explainer(x, start=start).relevance.tobytes() == before


@backends
def test_the_statistics_of_a_batch_norm(backend):
    mean, variance, scale, shift = (numbers(2, seed=i, low=0.5) for i in range(4))
    weight = numbers(3, 2, 3, 3)
    model = Model.sequential([L.BatchNorm(mean, variance, scale, shift), L.Conv(weight)])
    before = whole(model, IMAGE, backend)
    for array in (mean, variance, scale, shift, weight):
        spoil(array)
    assert whole(model, IMAGE, backend) == before


@backends
def test_an_embedding_table(backend):
    table = numbers(5, 3)
    model = Model.sequential([L.Embedding(table), L.Flatten(), L.Dense(numbers(6, 2))])
    words = np.array([[1.0, 4.0]])
    before = lrp_ref.explain(model, words, target=0, backend=backend).relevance.tobytes(), model(words).tobytes()
    spoil(table)
    assert (lrp_ref.explain(model, words, target=0, backend=backend).relevance.tobytes(), model(words).tobytes()) == before


@pytest.mark.parametrize("of", ["view", "slice", "transpose", "reversed"])
@backends
def test_an_array_whose_base_the_caller_holds(of, backend):
    base = numbers(8, 8)
    weight = {"view": base[:4, :3], "slice": base[::2, ::3], "transpose": base[:3, :4].T, "reversed": base[3::-1, 2::-1]}[of]
    model = Model.sequential([L.Dense(weight)])
    before = whole(model, ROW, backend)
    spoil(base)
    assert whole(model, ROW, backend) == before


def test_a_read_only_view_is_no_promise_of_its_base():
    base = numbers(4, 3)
    view = base.view()
    view.flags.writeable = False
    model = Model.sequential([L.Dense(view)])
    before = whole(model, ROW, None)
    spoil(base)
    assert whole(model, ROW, None) == before


@pytest.mark.parametrize("choice", ["box", "domain"])
@backends
def test_bounds(choice, backend):
    low, high = np.full((4,), -1.0), np.full((4,), 2.0)
    domain = (low, high) if choice == "domain" else None
    model = Model.sequential([L.Dense(numbers(4, 2))], domain=domain, input_shape=(4,))
    rule = rules.ZBox() if choice == "domain" else rules.ZBox(low, high)
    x = numbers(2, 4)
    before = lrp_ref.explain(model, x, rule=rule, target=0, backend=backend).relevance.tobytes()
    spoil(low)
    spoil(high)
    assert lrp_ref.explain(model, x, rule=rule, target=0, backend=backend).relevance.tobytes() == before


@pytest.mark.parametrize("kind", ["float64", "float32"])
@backends
def test_an_explanation_does_not_follow_its_input(kind, backend):
    """The activations that it carries are those that were explained, whatever the caller's buffer holds by now."""
    x = numbers(2, 4).astype(kind)
    copy = x.copy()
    model = Model.sequential([L.Dense(numbers(4, 3).astype(kind))])
    e = lrp_ref.explain(model, x, target=0, backend=backend)
    pattern = e.pattern().tobytes()
    spoil(x)
    np.testing.assert_array_equal(e.activations["input"], copy)
    assert e.pattern().tobytes() == pattern


@backends
def test_an_explanation_does_not_follow_its_start(backend):
    model = Model.sequential([L.Dense(numbers(4, 3))])
    start = numbers(2, 3)
    e = lrp_ref.explain(model, numbers(2, 4), start=start, keep="all", backend=backend)
    arrays = {name: array.copy() for name, array in e.arrays().items() if hasattr(array, "copy")}
    spoil(start)
    for name, array in arrays.items():
        np.testing.assert_array_equal(e.arrays()[name], array)


@backends
def test_an_explanation_of_a_network_that_only_moves_numbers(backend):
    """Where every layer hands its input on, what comes out may be the caller's own memory."""
    x, start = numbers(2, 2, 3), numbers(2, 6)
    e = lrp_ref.explain(Model.sequential([L.Identity(), L.Flatten()]), x, start=start, keep="all", backend=backend)
    kept = e.relevance.copy(), e.prediction.copy(), e.at("flatten1").copy()
    spoil(x)
    spoil(start)
    for found, expected in zip((e.relevance, e.prediction, e.at("flatten1")), kept, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_prediction_is_not_the_callers_memory_either_way():
    x = numbers(2, 4)
    model = Model.sequential([L.Identity()])
    y, copy = model(x), x.copy()
    spoil(x)
    np.testing.assert_array_equal(y, copy)


@pytest.mark.parametrize("part", ["relevance", "prediction", "value", "target", "total", "residual"])
def test_nothing_in_an_explanation_can_be_written(part):
    e = lrp_ref.explain(Model.sequential([L.Dense(numbers(4, 3))]), numbers(2, 4))
    before = np.array(getattr(e, part))
    spoil(getattr(e, part))
    np.testing.assert_array_equal(getattr(e, part), before)


def test_lists_of_indices_are_not_followed():
    order, axes = [2, 0, 1], [0, 2, 1]
    model = Model.sequential([L.Gather(order), L.Transpose(axes)])
    x = numbers(1, 3, 2)
    before = model(x)
    order[:], axes[:] = [0, 0, 0], [0, 1, 2]
    np.testing.assert_array_equal(model(x), before)


def test_a_mask_and_a_list_of_nodes_are_not_followed():
    model = Model.sequential([L.Dense(numbers(4, 3)), L.ReLU(), L.Dense(numbers(3, 2))])
    keep, mask = ["relu1"], np.array([True, False, True])
    explainer = lrp_ref.Explainer(model, keep=keep)
    keep[0] = "dense1"
    e = explainer(numbers(2, 4), target=0, filter={"dense1": mask})
    kept = e.at("relu1").copy(), e.relevance.copy()
    mask[:] = False
    np.testing.assert_array_equal(e.at("relu1"), kept[0])
    np.testing.assert_array_equal(e.relevance, kept[1])


def test_a_rational_array_of_objects():
    weight = np.array([[1, 2], [3, 4]], object)
    model = Model.sequential([L.Dense(weight)]).astype(object)
    weight[...] = 0
    assert model(np.array([[1, 1]], object)).tolist() == [[4, 6]]
