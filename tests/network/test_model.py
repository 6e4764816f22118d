"""Models: how nodes are named, wired and ordered; what goes in, and what every refusal says."""

import copy
import pickle
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrp_ref import Domain, Model, Node, errors, explain, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.network.wiring import default_names
from support.model_strategies import Modelled, any_models
from support.strategies import KINDS, RATIONAL, cast, fewer

w = np.array([[1.0, -1.0], [2.0, 1.0], [0.5, 0.0]])


def chain() -> Model:
    return Model.sequential([L.Dense(w, [0.5, -0.5]), L.ReLU(), L.Dense([[1.0], [2.0]])], input_shape=(3,), domain=(-1, 1))


def two_in_two_out() -> Model:
    nodes = (
        Node("sum", L.Add(), ("a", "b")),
        Node("dense", L.Dense(w), "sum"),
        Node("relu", L.ReLU(), "sum"),
    )
    return Model(nodes, ("a", "b"))


# ---- names and order -------------------------------------------------------------------------------------------------


def test_layers_in_sequence_are_named_by_their_class_and_counted():
    layers = [L.Conv(np.ones((1, 1, 1))), L.ReLU(), L.Conv(np.ones((1, 1, 1))), L.AvgPool(1), L.ReLU()]
    assert default_names(layers) == ("conv1", "relu1", "conv2", "avgpool1", "relu2")
    model = Model.sequential(layers)
    assert [node.name for node in model.nodes] == ["conv1", "relu1", "conv2", "avgpool1", "relu2"]
    assert [node.inputs for node in model.nodes] == [("input",), ("conv1",), ("relu1",), ("conv2",), ("avgpool1",)]
    assert (model.inputs, model.outputs) == (("input",), ("relu2",))


def test_layers_in_sequence_may_be_named():
    model = Model.sequential([L.ReLU(), L.Tanh()], ["first", "second"])
    assert model["second"].inputs == ("first",)
    assert "first" in model
    assert "third" not in model
    with pytest.raises(errors.GraphError, match="2 layers need as many names, found 1"):
        Model.sequential([L.ReLU(), L.Tanh()], ["first"])


@st.composite
def dags(draw):
    """Nodes in a good order, each reading one or two of those before it, and a permutation of them."""
    names = ["x", "y"]
    nodes = []
    for i in range(draw(st.integers(1, 12))):
        reads = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))
        nodes.append(Node(f"n{i}", L.Add(len(reads)), tuple(reads)))
        names.append(f"n{i}")
    return nodes, draw(st.permutations(nodes))


@given(dags())
def test_nodes_in_any_order_are_put_in_one_in_which_they_can_be_computed(drawn):
    good, given_order = drawn
    model = Model(tuple(given_order), ("x", "y"))
    seen = {"x", "y"}
    for node in model.nodes:
        assert seen.issuperset(node.inputs)
        seen.add(node.name)
    assert len(model.nodes) == len(good)
    x = {"x": np.ones((1, 2)), "y": np.full((1, 2), 3.0)}
    reference = Model(tuple(good), ("x", "y"), model.outputs)
    mine, theirs = model(x), reference(x)
    for name in model.outputs:
        assert ((mine[name] if isinstance(mine, dict) else mine) == (theirs[name] if isinstance(theirs, dict) else theirs)).all()


@given(dags())
def test_an_order_in_which_they_can_be_computed_is_kept(drawn):
    good, _ = drawn
    assert [n.name for n in Model(tuple(good), ("x", "y")).nodes] == [n.name for n in good]


@given(dags())
def test_readers_and_outputs_follow_from_the_wiring(drawn):
    good, _ = drawn
    model = Model(tuple(good), ("x", "y"))
    for name in ("x", "y", *(n.name for n in good)):
        assert model.readers(name) == tuple(n for n in model.nodes if name in n.inputs)
        assert (name in model.outputs) == (name in model and not model.readers(name))
    assert model.readers("nobody") == ()


def test_the_outputs_may_be_chosen():
    model = Model(chain().nodes, outputs=("relu1", "dense2"))
    found = model(np.ones((1, 3)))
    assert list(found) == ["relu1", "dense2"]
    assert Model(chain().nodes, outputs="relu1")(np.ones((1, 3))).shape == (1, 2)


# ---- wiring that cannot be -------------------------------------------------------------------------------------------

relu = L.ReLU()
WIRINGS = {
    "a cycle": (
        lambda: Model((Node("a", relu, "c"), Node("b", relu, "a"), Node("c", relu, "b"), Node("d", relu, "c"))),
        r"^the graph has a cycle: (a → b → c → a|b → c → a → b|c → a → b → c)$",
    ),
    "a node that reads itself": (lambda: Model((Node("a", L.Add(), ("input", "a")),)), "^the graph has a cycle: a → a$"),
    "what does not exist": (
        lambda: Model((Node("conv1", relu, "input"), Node("b", relu, "conv2"))),
        r"^node 'b' \(ReLU\) reads a node that does not exist: unknown node or input 'conv2'\. Did you mean 'conv1'\? Known: ",
    ),
    "a name twice": (lambda: Model((Node("a", relu, "input"), Node("a", relu, "input"))), "^the name 'a' is used 2 times$"),
    "a name of an input": (lambda: Model((Node("input", relu, "input"),)), "^the name 'input' is used 2 times$"),
    "an input twice": (lambda: Model((Node("a", relu, "x"),), ("x", "x")), "^the name 'x' is used 2 times$"),
    "too few inputs": (
        lambda: Model((Node("a", L.Add(3), ("input", "input")),)),
        r"^node 'a' \(Add\) has 3 input\(s\) and reads 2: \('input', 'input'\)$",
    ),
    "no inputs": (lambda: Model((Node("a", relu),)), r"^node 'a' \(ReLU\) has 1 input\(s\) and reads 0: \(\)$"),
    "too many inputs": (lambda: Model((Node("a", relu, ("input", "input")),)), r"has 1 input\(s\) and reads 2"),
    "an unknown output": (
        lambda: Model((Node("dense1", relu, "input"),), outputs=("dense2",)),
        r"^unknown output 'dense2'\. Did you mean 'dense1'\? Known: dense1\.$",
    ),
    "an input as output": (lambda: Model((Node("a", relu, "input"),), outputs=("input",)), "^unknown output 'input'"),
    "an output twice": (lambda: Model((Node("a", relu, "input"),), outputs=("a", "a")), "^outputs must be different nodes"),
    "no output": (lambda: Model((Node("a", relu, "input"),), outputs=()), "^outputs must be different nodes, at least one"),
    "no nodes": (lambda: Model(()), "^a model needs at least one node$"),
    "no layers": (lambda: Model.sequential([]), "^a model needs at least one node$"),
    "bare layers": (
        lambda: Model([relu]),
        r"^nodes are Node\(name, layer, inputs\), found ReLU\(\); Model\.sequential takes bare layers$",
    ),
    "a class for a layer": (
        lambda: Node("a", L.ReLU, "input"),
        r"^node 'a' needs a layer, found <class .*did you mean ReLU\(…\)\?$",
    ),
    "a class in a sequence": (
        lambda: Model.sequential([relu, L.Tanh]),
        r"^layer 2 of 2 needs a layer, found .*did you mean Tanh\(…\)",
    ),
    "a rule for a layer": (lambda: Model.sequential([rules.Zero()]), r"^layer 1 of 1 needs a layer, found Zero\(\)$"),
    "an empty name": (lambda: Node("", relu, "input"), "^names must be non-empty strings, found ''$"),
    "a number for a name": (lambda: Node(3, relu, "input"), "^names must be non-empty strings, found 3$"),
    "a number to read": (lambda: Node("a", relu, (3,)), "^names must be non-empty strings, found 3$"),
    "an unhashable name": (lambda: Node("a", relu, (["input"],)), r"^names must be non-empty strings, found \['input'\]$"),
    "a number for an input": (lambda: Model((Node("a", relu, "input"),), (3,)), "^names must be non-empty strings, found 3$"),
    "a domain of nobody": (
        lambda: Model.sequential([relu], domain={"imput": (0, 1)}),
        r"^unknown input 'imput'\. Did you mean 'input'\?",
    ),
    "one domain for two inputs": (
        lambda: Model((Node("a", L.Add(), ("x", "y")),), ("x", "y"), domain=(0, 1)),
        r"^expected a mapping from the inputs x, y, found \(0, 1\)$",
    ),
    "a domain upside down": (
        lambda: Model.sequential([relu], domain=(1, 0)),
        "^a domain needs low ≤ high, found low = 1.0, high = 0.0$",
    ),
    "half a domain": (lambda: Model.sequential([relu], domain=1), r"^a domain is a pair \(low, high\), found 1$"),
    "ends that do not fit": (
        lambda: Domain(np.zeros(2), np.ones(3)),
        r"^low and high have shapes \(2,\) and \(3,\), which do not fit$",
    ),
    "a domain that does not fit the samples": (
        lambda: Model.sequential([relu], domain=(np.zeros((3, 1, 1)), 1), input_shape=(1, 8, 8)),
        r"^the domain \[array\[3, 1, 1\], 1\.0\] of input 'input' does not fit samples of shape \(1, 8, 8\)$",
    ),
    "an endless domain": (
        lambda: Model.sequential([relu], domain=(0, np.inf)),
        r"^Domain\.high has 1 value\(s\) that are NaN or inf",
    ),
    "a domain of texts": (lambda: Model.sequential([relu], domain=("a", "b")), r"^Domain\.low must hold"),
    "a number for a shape": (
        lambda: Model.sequential([relu], input_shape=784),
        r"^input_shape of 'input' is a tuple such as \(3, 224, 224\), without the batch axis; found 784$",
    ),
    "a negative extent": (
        lambda: Model.sequential([relu], input_shape=(-1, 3)),
        "^an extent of input_shape of 'input' must be at least 0",
    ),
    "a fraction of a cell": (
        lambda: Model.sequential([relu], input_shape=(2.5,)),
        "^an extent of input_shape of 'input' must be an int",
    ),
    "a shape of nobody": (lambda: Model.sequential([relu], input_shape={"x": (3,)}), "^unknown input 'x'"),
}


@pytest.mark.parametrize(("make", "match"), WIRINGS.values(), ids=WIRINGS)
def test_wiring_that_cannot_be(make, match):
    with pytest.raises(errors.LrpError, match=match):
        make()


def test_a_long_cycle_is_abridged():
    nodes = tuple(Node(f"n{i}", relu, f"n{(i + 1) % 50}") for i in range(50))
    with pytest.raises(errors.GraphError, match=r"^the graph has a cycle: (n\d+ → ){10}… → n\d+$"):
        Model(nodes)


def test_unknown_names_give_the_nearest():
    with pytest.raises(errors.UnknownNameError, match=r"unknown node 'dense3'\. Did you mean 'dense[12]'\? Known: dense1, relu1"):
        chain()["dense3"]
    with pytest.raises(errors.UnknownNameError, match=r"unknown node 'inputs'\. Did you mean 'input'\?"):
        chain().trace(np.ones((1, 3)))["inputs"]


# ---- what goes in ----------------------------------------------------------------------------------------------------


def test_a_floating_input_takes_the_models_number_type():
    x = np.array([[0.1, 0.2, 0.3]])
    for dtype in (np.float32, np.float64):
        model = chain().astype(dtype)
        for given_type in (np.float16, np.float32, np.float64, np.longdouble):
            assert model.prepare(x.astype(given_type))["input"].dtype == dtype
            assert model(x.astype(given_type)).dtype == dtype
    assert chain()([[0.5, 1.0, 2.0]]).tolist() == [[4.0]]


def test_inputs_are_rows_in_memory_whatever_they_were():
    x = np.asfortranarray(np.arange(24.0).reshape(2, 3, 4))[:, ::-1]
    assert Model.sequential([relu]).prepare(x)["input"].flags.c_contiguous


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint16, np.bool_])
def test_whole_numbers_are_the_numbers_that_they_are(kind):
    """CONV-DTYPE."""
    x = np.ones((1, 3), kind)
    assert chain()(x).tolist() == [[4.0]]
    assert chain().astype(np.float32)(x).dtype == np.float32
    assert chain().astype(object)(x).tolist() == [[Fraction(4)]]
    with pytest.raises(errors.NumberTypeError, match="integers beyond ±16777216, which float32 cannot tell apart"):
        chain().astype(np.float32)(np.full((1, 3), 2**24 + 1))


def test_bytes_are_refused_with_what_to_type():
    x = np.ones((1, 3), np.uint8)
    for dtype, name in ((np.float64, "np.float64"), (np.float32, "np.float32"), (object, "object")):
        with pytest.raises(errors.NumberTypeError) as caught:
            chain().astype(dtype)(x)
        assert f"has the number type uint8; convert it, as in x.astype({name}), or x / 255" in str(caught.value)


def test_fractions_are_refused_by_a_float_model_with_what_to_do():
    x = np.array([[Fraction(1, 3)] * 3])
    with pytest.raises(errors.NumberTypeError) as caught:
        chain()(x)
    assert str(caught.value) == (
        "input 'input' holds Python objects and the model computes in float64: model.astype(object) computes in exact rationals, "
        "x.astype(np.float64) rounds the input"
    )
    assert chain().astype(object)(x).tolist() == [[Fraction(5, 3)]]
    assert chain()(x.astype(np.float64)).shape == (1, 1)


@pytest.mark.parametrize("x", [np.ones((1, 3), complex), np.array([["a", "b", "c"]]), np.zeros((1, 3), "datetime64[s]")])
def test_what_is_no_number_is_refused(x):
    for model in (chain(), chain().astype(object)):
        with pytest.raises(
            errors.NumberTypeError, match=r"input 'input' has the number type .*; floating point numbers \(or Fra"
        ):
            model(x)


@pytest.mark.parametrize("bad", [None, "1", 1j, [1]])
def test_objects_that_are_no_numbers_are_refused(bad):
    x = np.array([[Fraction(1), Fraction(2), None]], dtype=object)
    x[0, 2] = bad
    with pytest.raises(errors.NumberTypeError, match="input 'input': rationals need numbers, found"):
        chain().astype(object)(x)


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(errors.ShapeError, match="input 'input' is no array of numbers"):
        chain()([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_in_an_input_are_refused_with_the_place(bad):
    x = np.ones((2, 3))
    x[1, 2] = bad
    with pytest.raises(errors.NonFiniteError) as caught:
        chain()(x)
    assert str(caught.value) == f"input 'input' has 1 value(s) that are NaN or infinite, the first {x[1, 2]} at (1, 2)"
    for model in (chain().astype(np.float32), chain().astype(object)):
        with pytest.raises(errors.NonFiniteError, match=r"input 'input' has 1 value\(s\) that are NaN or infinite.*\(1, 2\)"):
            model.trace(x)
    with pytest.raises(errors.NonFiniteError, match="input 'input': rationals need finite numbers"):
        chain().astype(object)(x.astype(object))


def test_a_number_that_the_models_type_does_not_hold_is_refused():
    with pytest.raises(errors.NonFiniteError, match=r"input 'input', cast to float32, has 1 value\(s\).*inf at \(0, 1\)"):
        chain().astype(np.float32)([[1.0, 1e300, 0.0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_in_weights_are_refused_with_the_place(bad):
    with pytest.raises(errors.NonFiniteError) as caught:
        L.Dense(np.where(w == 2, bad, w))
    assert str(caught.value) == f"Dense.weight has 1 value(s) that are NaN or infinite, the first {bad} at (1, 0)"


def test_shapes_are_checked_against_the_models():
    with pytest.raises(errors.ShapeError) as caught:
        chain()(np.ones((2, 4)))
    assert str(caught.value) == "input 'input' must have shape (N, 3), found (2, 4)"
    with pytest.raises(errors.ShapeError) as caught:
        chain()(np.ones(3))
    assert str(caught.value) == (
        "input 'input' must have shape (N, 3), found (3,). The batch axis is required: x[None] adds it to a single sample"
    )
    for model in (chain(), Model.sequential([relu])):
        with pytest.raises(errors.ShapeError, match="input 'input' is a single number; samples with a batch axis are needed"):
            model(np.array(1.0))


NETS = {
    "Dense": (Model.sequential([L.Dense(w)]), (3,), (2, 4), "expected 3 features on the last axis, found shape (2, 4)"),
    "Conv": (
        Model.sequential([L.Conv(np.ones((2, 3, 3, 3)))]),
        (3, 8, 8),
        (2, 4, 8, 8),
        "expected 3 channels on axis 1, found shape (2, 4, 8, 8)",
    ),
    "MaxPool": (Model.sequential([L.MaxPool(3)]), None, (2, 3, 2), "a window of extent 3 does not fit spatial axis 0 of 2 cells"),
    "BatchNorm": (Model.sequential([L.BatchNorm([0.0], [1.0])]), None, (2, 3, 2), "expected an input of shape (N, 1, …), found"),
    "Reshape": (
        Model.sequential([L.Reshape((2, 2))]),
        None,
        (2, 3),
        "samples of shape (3,) (3 elements) do not reshape to (2, 2)",
    ),
    "deep": (
        Model.sequential([relu, L.Flatten(), L.Dense(w)]),
        None,
        (2, 2, 2),
        "expected 3 features on the last axis, found shape (2, 4)",
    ),
}


@pytest.mark.parametrize(("model", "sample", "wrong", "said"), NETS.values(), ids=NETS)
def test_shapes_that_do_not_fit_name_the_node(model, sample, wrong, said):
    node = model.nodes[-1]
    for call in (model, model.trace, lambda x: explain(model, x)):
        with pytest.raises(errors.ShapeError) as caught:
            call(np.ones(wrong))
        assert str(caught.value).startswith(f"{node.title}: {said}")
    if sample is not None:
        with pytest.raises(errors.ShapeError, match=r"The batch axis is required: x\[None\] adds it to a single sample"):
            model(np.ones(sample))
        model(np.ones(sample)[None])


def test_several_inputs_are_given_by_name():
    model = two_in_two_out()
    a, b = np.ones((2, 3)), np.full((2, 3), 2.0)
    assert model({"a": a, "b": b})["relu"].tolist() == [[3.0] * 3] * 2
    with pytest.raises(errors.UnknownNameError, match="the model has 2 inputs; give a mapping with a, b"):
        model(a)
    with pytest.raises(errors.UnknownNameError, match=r"the model also needs the input\(s\) b"):
        model({"a": a})
    with pytest.raises(errors.UnknownNameError, match="unknown input 'c'"):
        model({"a": a, "b": b, "c": a})
    with pytest.raises(errors.ShapeError, match=r"the inputs' batch extents differ: \[1, 2\]"):
        model({"a": a, "b": b[:1]})
    assert chain()({"input": np.ones((1, 3))}).shape == (1, 1)


def test_shapes_without_computing():
    assert chain().shapes((5, 3)) == {"input": (5, 3), "dense1": (5, 2), "relu1": (5, 2), "dense2": (5, 1)}
    assert two_in_two_out().shapes({"a": (1, 3), "b": (1, 3)})["dense"] == (1, 2)
    with pytest.raises(errors.UnknownNameError, match=r"the model also needs the input\(s\) b"):
        two_in_two_out().shapes({"a": (1, 3)})
    with pytest.raises(errors.UnknownNameError, match="give a mapping with a, b"):
        two_in_two_out().shapes((1, 3))
    with pytest.raises(errors.ShapeError, match=r"node 'dense1' \(Dense\): expected 3 features"):
        chain().shapes((5, 4))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, object])
def test_an_empty_batch_gives_an_empty_result(dtype):
    layers = [L.Conv(np.ones((2, 1, 3, 3)), padding=1), L.MaxPool(2), L.ReLU(), L.Flatten(), L.Dense(np.ones((8, 3)))]
    model = Model.sequential(layers, input_shape=(1, 4, 4)).astype(dtype)
    found = model(np.ones((0, 1, 4, 4)))
    assert (found.shape, found.dtype) == ((0, 3), np.dtype(dtype))
    assert model.trace(np.ones((0, 1, 4, 4)))["conv1"].shape == (0, 2, 4, 4)


# ---- number types ----------------------------------------------------------------------------------------------------


def test_the_number_type_is_that_of_the_parameters_or_else_the_one_asked_for():
    bare = Model.sequential([relu, L.SumPool(2)])
    assert bare.dtype == np.float64
    for dtype in (np.float32, object):
        asked = bare.astype(dtype)
        for model in (asked, pickle.loads(pickle.dumps(asked)), Model(bare.nodes, default_dtype=dtype)):  # noqa: S301
            assert model.dtype == dtype
            assert model(np.ones((1, 1, 4))).dtype == dtype
    assert chain().astype(np.float32).astype(np.float64).dtype == np.float64
    assert Model(chain().nodes, default_dtype=np.float32).dtype == np.float64
    with pytest.raises(errors.NumberTypeError, match="a model computes in"):
        Model(bare.nodes, default_dtype=np.int8)
    assert chain().dtype == np.float64
    assert chain().astype(np.float32).dtype == np.float32
    assert chain().astype(object).dtype == object
    narrow, wide = L.Dense(w.astype(np.float32)), L.Dense(np.ones((2, 2)))
    assert Model.sequential([narrow]).dtype == np.float32
    assert Model.sequential([narrow, wide]).dtype == np.float64
    assert Model.sequential([narrow, L.Dense(fractions(np.ones((2, 2))))]).dtype == object


@fewer
@given(any_models(*[kind for kind in KINDS if kind in RATIONAL]))
def test_there_and_back_between_number_types_nothing_is_lost(drawn: Modelled):
    for model in (drawn.model, drawn.model.astype(object)):
        back = model.astype(object).astype(drawn.model.dtype if model.dtype != object else np.float64)
        for mine, theirs in zip(model.nodes, back.nodes, strict=True):
            assert mine.name == theirs.name
            for name, value in mine.layer.parameters.items():
                assert (fractions(theirs.layer.parameters[name]) == fractions(value)).all()
        for name, bounds in model.domain.items():
            assert (fractions(back.domain[name].low) == fractions(bounds.low)).all()


def test_all_parameters_and_the_domain_are_cast_and_shared_layers_stay_shared():
    shared = L.Dense(np.eye(2))
    model = Model.sequential([shared, L.ReLU(), shared], domain=(0.1, 1), input_shape=(2,))
    for dtype in (np.float32, object, "float32", np.dtype(np.float64)):
        changed = model.astype(dtype)
        assert changed.nodes[0].layer is changed.nodes[2].layer
        assert changed.nodes[0].layer.weight.dtype == np.dtype(dtype)
        assert changed.domain["input"].low.dtype == np.dtype(dtype)
        assert dict(changed.input_shape) == {"input": (2,)}
    assert model.astype(object).domain["input"].low == Fraction(0.1)


@pytest.mark.parametrize("dtype", [np.float16, np.int64, complex, "nonsense"])
def test_other_number_types_are_refused(dtype):
    with pytest.raises(errors.NumberTypeError, match=r"a model computes in float64, float32 or object \(Fraction\), not"):
        chain().astype(dtype)


def test_what_has_no_rational_value_names_the_node():
    model = Model.sequential([L.Dense(w), L.Tanh()]).astype(object)
    with pytest.raises(errors.ExactnessError, match=r"node 'tanh1' \(Tanh\): Tanh of a rational is not rational"):
        model(fractions(np.ones((1, 3))))


# ---- predicting ------------------------------------------------------------------------------------------------------


@fewer
@given(any_models())
def test_calling_and_tracing_agree_bit_for_bit(drawn: Modelled):
    found, trace = drawn.model(drawn.x), drawn.model.trace(drawn.x)
    for name in drawn.model.outputs:
        array = found[name] if isinstance(found, dict) else found
        assert array.tobytes() == trace[name].tobytes()
    assert set(trace.activations) == {*drawn.model.inputs, *(node.name for node in drawn.model.nodes)}


@fewer
@given(any_models(*RATIONAL, dtypes=(np.float64,)))
def test_the_same_model_runs_in_rationals(drawn: Modelled):
    """On dyadic numbers floats are exact for all but what divides: there they round."""
    exact = drawn.astype(object)
    mine, theirs = drawn.model.trace(drawn.x), exact.model.trace(exact.x)
    for node in drawn.model.nodes:
        np.testing.assert_allclose(mine[node.name], cast(theirs[node.name], np.float64), rtol=1e-12, atol=1e-12)


def test_activations_of_a_trace_are_read_only():
    trace = chain().trace(np.ones((1, 3)))
    assert not trace["relu1"].flags.writeable
    assert trace["input"].tolist() == [[1.0] * 3]
    with pytest.raises(ValueError, match="read-only"):
        trace["dense2"][0, 0] = 1


def test_calling_frees_every_activation_that_nobody_reads_any_more():
    """Thirty layers of 800 kB: their activations would be 24 MB, two at a time are needed; dead ends are not computed."""
    nodes = [Node(f"n{i}", L.Scale(1.5), f"n{i - 1}" if i else "input") for i in range(30)]
    ends = [Node(f"dead{i}", L.Scale(2.0), f"n{i}") for i in range(0, 30, 5)]
    model = Model((*nodes, *ends), outputs=("n29",))
    x = np.ones((1, 100_000))
    model(x)
    tracemalloc.start()
    try:
        model(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        model.trace(x)
        kept = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * x.nbytes
    assert kept > 30 * x.nbytes


def test_an_activation_with_several_readers_lives_until_the_last():
    nodes = (
        Node("a", L.Scale(2.0), "input"),
        Node("b", L.Scale(3.0), "a"),
        Node("c", L.Add(3), ("a", "b", "a")),
        Node("d", L.Add(), ("c", "input")),
    )
    assert Model(nodes, outputs=("d", "a"))(np.ones((1, 1)))["d"].tolist() == [[11.0]]


# ---- copies and representations --------------------------------------------------------------------------------------


@fewer
@given(any_models())
def test_pickles_and_copies_are_the_same_model_with_read_only_arrays(drawn: Modelled):
    for model in (pickle.loads(pickle.dumps(drawn.model)), copy.deepcopy(drawn.model), copy.copy(drawn.model)):  # noqa: S301
        assert repr(model) == repr(drawn.model)
        before, after = drawn.model.trace(drawn.x), model.trace(drawn.x)
        for mine, theirs in zip(drawn.model.nodes, model.nodes, strict=True):
            assert before[mine.name].tobytes() == after[theirs.name].tobytes()
            for name, value in theirs.layer.parameters.items():
                assert not value.flags.writeable
                assert value.tobytes() == mine.layer.parameters[name].tobytes()
        shared = [[m.layer is n.layer for n in which.nodes for m in which.nodes] for which in (drawn.model, model)]
        assert shared[0] == shared[1]
        for name, bounds in drawn.model.domain.items():
            assert not model.domain[name].low.flags.writeable
            assert model.domain[name].same_as(bounds)


def test_a_model_does_not_change():
    weight = np.ones((3, 2))
    model = Model.sequential([L.Dense(weight)], domain=(0, 1), input_shape=(3,))
    with pytest.raises(AttributeError):
        model.outputs = ()
    with pytest.raises(TypeError):
        model.domain["input"] = Domain(0, 2)
    with pytest.raises(ValueError, match="read-only"):
        model["dense1"].layer.weight[0, 0] = 5
    assert weight.flags.writeable


def test_a_model_prints_its_graph():
    assert repr(chain()) == "\n".join(
        [
            "Model: 3 nodes, 10 parameters, float64",
            "  input: (3,), domain [-1.0, 1.0]",
            "  dense1  Dense(weight[3, 2], bias[2])  ← input",
            "  relu1   ReLU()  ← dense1",
            "  dense2  Dense(weight[2, 1])  ← relu1",
        ]
    )
    text = repr(two_in_two_out())
    assert "  a: any shape, domain unknown\n  b: any shape, domain unknown\n" in text
    assert "sum    Add()  ← a, b" in text


def test_shared_parameters_are_counted_once():
    shared = L.Dense(np.eye(2))
    assert repr(Model.sequential([shared, shared])).startswith("Model: 2 nodes, 4 parameters, float64")


def test_a_long_name_does_not_widen_every_line():
    model = Model.sequential([relu, relu], ["x" * 500, "b"])
    assert max(map(len, repr(model).splitlines()[3:])) < 600
    assert "  b" + " " * 41 + "ReLU()" in repr(model)


def test_in_a_notebook_a_model_is_a_table():
    model = Model((Node("<b>", L.Dense(w), "input"),))
    assert model._repr_html_() == (
        "<table><tr><th>node</th><th>layer</th><th>reads</th><th>parameters</th></tr>"
        "<tr><td>&lt;b&gt;</td><td>Dense(weight[3, 2])</td><td>input</td><td>6</td></tr></table>"
    )


def test_rows_are_what_tables_are_made_of():
    assert chain().rows()[0] == ("dense1", "Dense(weight[3, 2], bias[2])", "input", 8)


# ---- domains ---------------------------------------------------------------------------------------------------------


def test_a_domain_may_be_a_pair_or_a_domain_for_the_only_input_or_by_name():
    for given_domain in ((0, 1), [0, 1], Domain(0, 1), {"input": (0, 1)}, {"input": Domain(0, 1)}, np.array([0.0, 1.0])):
        assert repr(Model.sequential([relu], domain=given_domain).domain["input"]) == "[0.0, 1.0]"
    assert dict(Model.sequential([relu]).domain) == {}


def test_bounds_may_broadcast_against_a_sample():
    low = np.array([-1.0, 0.0, 1.0]).reshape(3, 1, 1)
    model = Model.sequential([relu], domain=(low, 2), input_shape=(3, 4, 4))
    assert repr(model.domain["input"]) == "[array[3, 1, 1], 2.0]"
    assert not model.domain["input"].low.flags.writeable


# --- weights that another number type does not hold ----------------------------------------------------------------------------

TINY = np.array([[1.0, 1e-60], [-1e-60, 2.0]])
UNDERFLOWS = {
    "weights": (L.Dense(TINY), "node 'layer' (Dense): 2 of 4 numbers of weight are 0 in float32"),
    "one number": (L.Scale(1e-60), "node 'layer' (Scale): 1 of 1 numbers of weight are 0 in float32"),
    "biases": (L.Dense(np.eye(2), np.array([1e-50, 1])), "node 'layer' (Dense): 1 of 2 numbers of bias are 0 in float32"),
    "a table": (L.Embedding(TINY), "node 'layer' (Embedding): 2 of 4 numbers of weight are 0 in float32"),
    "a variance": (
        L.BatchNorm(np.zeros(2), np.array([1e-60, 1])),
        "node 'layer' (BatchNorm): 1 of 2 numbers of variance are 0 in float32",
    ),
}


@pytest.mark.parametrize("name", UNDERFLOWS)
def test_weights_that_vanish_in_another_number_type_are_remarked_on(name):
    layer, remark = UNDERFLOWS[name]
    model = Model((Node("layer", layer, ("input",)),))
    assert model.remarks == ()
    cast = model.astype(np.float32)
    assert cast.remarks == (remark,)
    assert cast.astype(np.float32).astype(np.float64).remarks == (remark,)


def test_rationals_that_vanish_are_remarked_on():
    weight = np.array([[Fraction(1, 10**400), Fraction(1)]], dtype=object)
    model = Model((Node("layer", L.Dense(weight), ("input",)),))
    assert model.astype(np.float64).remarks == ("node 'layer' (Dense): 1 of 2 numbers of weight are 0 in float64",)


def test_small_weights_and_zeros_that_stay_what_they_are_need_no_remark():
    model = Model((Node("layer", L.Dense(np.array([[1e-40, 0.0, -0.0, 1e-30]])), ("input",)),))
    assert model.astype(np.float32).remarks == ()
    assert model.astype(object).remarks == ()
