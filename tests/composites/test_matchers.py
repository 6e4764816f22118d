"""Matchers: by type, name, position, stage, condition; what they print; the first linear layers."""

import numpy as np
import pytest

from lrp_ref import Composite, Explainer, Model, Node, composites, errors, rules
from lrp_ref import layers as L
from lrp_ref.composites import (
    Bounded,
    Depth,
    First,
    Name,
    Predicate,
    Stages,
    Type,
    matcher_of,
)

w, k1, k2 = np.ones((1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1, 1))

# ---- matchers --------------------------------------------------------------------------------------------------------


def small() -> Model:
    chain = [L.Conv(k2), L.ReLU(), L.AvgPool(1), L.Conv(k2), L.Tanh(), L.Flatten(), L.Dense(w)]
    return Model.sequential(chain, ["conv1", "relu", "pool", "conv2", "tanh", "flat", "out[0]"])


MATCHERS = {
    Type(L.Conv): "conv1 conv2",
    Type(L.Conv, L.Dense): "conv1 conv2 out[0]",
    Type(L.Activation): "relu tanh",
    Type(L.Linear): "conv1 conv2 pool out[0]",
    Name("conv1"): "conv1",
    Name("conv*"): "conv1 conv2",
    Name("out[0]"): "out[0]",
    Name("[cp]*"): "conv1 conv2 pool",
    Name("?onv2"): "conv2",
    Name("nothing*"): "",
    Depth(0, 2): "conv1 relu",
    Depth(5): "flat out[0]",
    Depth(-1): "out[0]",
    Depth(-3, -1): "tanh flat",
    Depth(2, 2): "",
    Stages(1): "conv1",
    Stages(2): "conv1 conv2",
    Stages(0): "",
    First(): "conv1",
    Predicate(lambda model, node: len(model.readers(node.name)) == 0): "out[0]",
    Type(L.Conv) & Depth(1): "conv2",
    Type(L.Conv) | Name("flat"): "conv1 conv2 flat",
    ~Type(L.Linear): "relu tanh flat",
    ~(Type(L.Conv) | Type(L.Dense)) & Depth(1, -1): "relu pool tanh flat",
    Type(L.Conv) & ~First(): "conv2",
    Type(L.ReLU) | L.Tanh: "relu tanh",
    Type(L.Conv) & "conv2": "conv2",
}


@pytest.mark.parametrize(("matcher", "names"), MATCHERS.items(), ids=map(repr, MATCHERS))
def test_matchers(matcher, names):
    assert matcher(small()) == set(names.split())


def test_matchers_print_what_they_mean():
    assert repr(Type(L.Conv, L.Dense)) == "Conv | Dense"
    assert repr(Type(L.Conv, L.Dense) & ~Type(L.ReLU, L.Tanh)) == "(Conv | Dense) & ~(ReLU | Tanh)"
    assert repr(Type(L.Conv) | First() & Depth(1)) == "Conv | first linear & positions 1 to the end"
    assert repr(~(Name("a*") | Stages(2))) == "~(name 'a*' | lower 2 of the stages)"
    assert repr(First() & Bounded()) == "first linear & domain known"
    assert repr(Predicate(lambda *_: True, "all of them")) == "all of them"


def test_matchers_compare_by_value():
    assert Type(L.Conv) & Depth(1) == Type(L.Conv) & Depth(1)
    assert hash(Name("a") | First()) == hash(Name("a") | First())
    assert Stages(2) != Stages(3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("conv*", Name("conv*")), (L.Conv, Type(L.Conv)), ((L.Conv, L.Dense), Type(L.Conv, L.Dense)), (First(), First())],
)
def test_names_and_classes_are_matchers(value, expected):
    assert matcher_of(value) == expected


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (3, "found 3"),
        ((), r"found \(\)"),
        (rules.Zero, "found <class"),
        ((L.Conv, "conv1"), "a tuple of layer classes"),
        (First, r"did you mean First\(\)\?"),
        (None, "found None"),
        (L.ReLU(), r"found ReLU\(\)"),
    ],
)
def test_what_is_no_matcher(value, match):
    with pytest.raises(errors.ParameterError, match=r"a matcher is a Matcher, a layer class.*" + match):
        Composite(((value, rules.Pass()),))
    with pytest.raises(errors.ParameterError, match="a matcher is"):
        Type(L.Conv) | value


@pytest.mark.parametrize("types", [(), ("Conv",), (L.ReLU(),)])
def test_types_are_classes(types):
    with pytest.raises(errors.ParameterError, match="Type takes layer classes, found"):
        Type(*types)


@pytest.mark.parametrize("ends", [("a",), (0, 1.5), (True,)])
def test_positions_are_integers(ends):
    with pytest.raises(errors.ParameterError, match=r"Depth\.st\w+ must be an integer"):
        Depth(*ends)


def test_an_unknown_node_gives_the_nearest():
    with pytest.raises(errors.UnknownNameError, match=r"unknown node 'conv3'\. Did you mean 'conv2'\? Known: conv1, relu"):
        composites.epsilon_plus().with_rules({"conv3": rules.Flat()}).assign(small())
    with pytest.raises(errors.UnknownNameError, match="unknown node 'conv3'"):
        Explainer(small(), composites.epsilon_plus().with_rules({"conv3": rules.Flat()}))


# ---- the first linear layers -----------------------------------------------------------------------------------------


def test_first_is_the_first_linear_layer_of_a_chain():
    chain = [L.Scale(2.0), L.BatchNorm([0.0], [1.0]), L.ReLU(), L.Flatten(), L.Dense(w), L.ReLU(), L.Dense(w)]
    assert First()(Model.sequential(chain)) == {"dense1"}
    assert First()(Model.sequential([L.MaxPool(2), L.AvgPool(2), L.Conv(k1)])) == {"avgpool1"}
    assert First()(Model.sequential([L.ReLU()])) == set()


def test_a_residual_connection_from_the_input_makes_several_first_layers():
    model = Model(
        (
            Node("a", L.Conv(k1), "input"),
            Node("relu", L.ReLU(), "a"),
            Node("b", L.Conv(k1), "relu"),
            Node("skip", L.Conv(k1), "input"),
            Node("add", L.Add(), ("b", "skip")),
            Node("join", L.Concat(2), ("add", "input")),
            Node("last", L.Conv(np.ones((1, 2, 1))), "join"),
            Node("end", L.Conv(k1), "last"),
        )
    )
    # "last" too: through "join" a path from the input reaches it that meets no linear layer.
    assert First()(model) == {"a", "skip", "last"}


def test_every_input_has_its_first_layer():
    nodes = (Node("a", L.Dense(w), "x"), Node("b", L.Dense(w), "y"), Node("add", L.Add(), ("a", "b")))
    assert First()(Model(nodes, ("x", "y"))) == {"a", "b"}
    assert First()(Model((Node("add", L.Add(), ("x", "y")),), ("x", "y"))) == {"add"}
