"""Which rule at which node: the presets against the table that defines them, the matchers, and the bounds that ZBox() takes."""

import itertools
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_strategies import batch_norms, scales
from strategies import arrays, cast, dyadics, fewer, positives

from lrp_ref import Composite, Explainer, Model, Node, composites, errors, explain, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.composites import (
    PRESETS,
    Bounded,
    Depth,
    First,
    Name,
    Predicate,
    Stages,
    Type,
    composite_of,
    matcher_of,
    stages,
    uniform,
)

# ---- the table -------------------------------------------------------------------------------------------------------

w, k1, k2, k3 = np.ones((1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1, 1))

#: Every kind of node, by the row of the table that says its rule.
ROWS = {
    "convolution": [L.Conv(k1), L.Conv(k2), L.Conv(k3), L.ConvTranspose(k1), L.ConvTranspose(k2), L.ConvTranspose(k3)],
    "dense": [L.Dense(w)],
    "sum": [
        L.Add(2), L.Add(3), L.Subtract(), L.Mean(), L.Upsample(),
        L.AvgPool(2), L.SumPool(2), L.GlobalAvgPool(), L.GlobalSumPool(),
    ],
    "maximum": [L.MaxPool(2), L.GlobalMaxPool()],
    "product": [L.Multiply(), L.Multiply(0)],
    "constant": [L.BatchNorm([0.0], [1.0]), L.Scale(2.0)],
    "activation": [L.ReLU(), L.LeakyReLU(), L.Tanh(), L.Sigmoid(), L.GELU(), L.Softplus()],
    "shape": [
        L.Dropout(), L.Identity(), L.Concat(2), L.Flatten(), L.Reshape((1,)), L.Transpose((0, 1)), L.Pad(1),
    ],
    "softmax": [L.Softmax(), L.LogSoftmax()],
}  # fmt: skip

plus, two, eps, tenth = rules.AlphaBeta(1, 0), rules.AlphaBeta(2, 1), rules.Epsilon(1e-6), rules.Epsilon(0.1)
winner, box, flat, zplus = rules.WinnerTakesAll(), rules.ZBox(0.0, 1.0), rules.Flat(), rules.ZPlus()

#: preset: rules of convolutions, dense layers, sums, maximum pooling, and the first linear layer ("–": like the others).
TABLE = {
    "epsilon_plus": (plus, eps, eps, winner, "–"),
    "epsilon_plus_flat": (plus, eps, eps, winner, flat),
    "epsilon_alpha2_beta1": (two, eps, eps, winner, "–"),
    "epsilon_alpha2_beta1_flat": (two, eps, eps, winner, flat),
    "epsilon_gamma_box": (rules.GeneralizedGamma(0.25), eps, eps, winner, box),
    "deep_taylor": (zplus, zplus, zplus, rules.Proportional(), box),
    "alpha1_beta0": (plus, plus, zplus, winner, "–"),
    "lrp_overview": (rules.Gamma(0.25), rules.Zero(), eps, rules.AverageSurrogate(rules.Zero()), box),
    "innvestigate_a": (plus, tenth, eps, winner, "–"),
    "innvestigate_a_flat": (plus, tenth, eps, winner, flat),
    "innvestigate_b": (two, tenth, eps, winner, "–"),
    "innvestigate_b_flat": (two, tenth, eps, winner, flat),
}  # fmt: skip
EVERYWHERE = {"product": rules.SignalTakesAll(), "constant": rules.Pass(), "activation": rules.Pass(), "shape": rules.Pass()}


def test_the_table_is_complete():
    """Every kind of layer that the presets were made for, and every preset. Other layers are refused until a rule is given."""
    kinds = """
        Dense Scale Add Subtract Mean Conv ConvTranspose MaxPool AvgPool SumPool GlobalAvgPool GlobalMaxPool GlobalSumPool ReLU
        LeakyReLU Tanh Sigmoid GELU Softplus BatchNorm Concat Multiply Flatten Reshape Transpose Pad Upsample Dropout Identity
        Softmax LogSoftmax
    """
    assert {type(layer).__name__ for layer in itertools.chain(*ROWS.values())} == set(kinds.split())
    assert set(TABLE) == set(PRESETS)


def behind_a_dense_layer(layer: L.Layer) -> Model:
    """`layer` as a node that is not first."""
    nodes = [Node("dense", L.Dense(w), "input"), Node("here", layer, ("dense",) * layer.arity)]
    return Model(tuple(nodes), domain=(0, 1))  # type: ignore[arg-type]


def at_the_input(layer: L.Layer) -> Model:
    return Model((Node("here", layer, ("input",) * layer.arity),), domain=(0, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize("row", [row for row in ROWS if row != "softmax"])
@pytest.mark.parametrize("preset", TABLE)
def test_the_rule_of_every_kind_of_node(preset, row):
    conv, dense, sums, maximum, first = TABLE[preset]
    expected = {"convolution": conv, "dense": dense, "sum": sums, "maximum": maximum, **EVERYWHERE}[row]
    linear = row in ("convolution", "dense", "sum")
    for layer in ROWS[row]:
        assert composite_of(preset).assign(behind_a_dense_layer(layer))["here"] == expected
        found = composite_of(preset).assign(at_the_input(layer))["here"]
        assert found == (expected if first == "–" or not linear else first)


@pytest.mark.parametrize("preset", TABLE)
def test_a_softmax_has_no_rule(preset):
    for layer in ROWS["softmax"]:
        with pytest.raises(
            errors.RuleError, match=r"no rule for node 'here' .*: nothing matches \(fits: none: explain the score"
        ):
            composite_of(preset).assign(behind_a_dense_layer(layer))


@pytest.mark.parametrize("name", ["epsilon_plus", "epsilon_plus_flat", "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat"])
def test_the_presets_take_an_epsilon_for_dense_layers_and_sums(name):
    made = PRESETS[name](epsilon=0.5)
    for layer in (L.Dense(w), L.Add()):
        assert made.assign(behind_a_dense_layer(layer))["here"] == rules.Epsilon(0.5)
    assert made.assign(behind_a_dense_layer(L.Conv(k1)))["here"] == TABLE[name][0]
    assert made.name == f"{name}(epsilon=0.5)"
    assert PRESETS[name](epsilon=1e-6).name == name


def test_the_box_presets_take_bounds_and_their_parameters():
    made = composites.epsilon_gamma_box(low=-2, high=3, gamma=0.5, epsilon=0.1)
    assert made.assign(at_the_input(L.Conv(k1)))["here"] == rules.ZBox(-2, 3)
    assert made.assign(behind_a_dense_layer(L.Conv(k1)))["here"] == rules.GeneralizedGamma(0.5)
    assert made.assign(behind_a_dense_layer(L.Dense(w)))["here"] == rules.Epsilon(0.1)
    for preset in (composites.deep_taylor, composites.lrp_overview):
        assert preset(-2, 3).assign(at_the_input(L.Conv(k1)))["here"] == rules.ZBox(-2, 3)
        for low, high in ((-2, None), (None, 3)):
            with pytest.raises(errors.DomainError, match="needs both bounds"):
                preset(low, high)


def test_only_deep_taylor_needs_a_positive_start():
    assert [name for name in PRESETS if composite_of(name).positive_start] == ["deep_taylor"]
    assert composites.deep_taylor(0, 1).positive_start
    assert composites.deep_taylor().with_rules({"here": rules.Flat()}).positive_start


# ---- stages, and VGG-16 ----------------------------------------------------------------------------------------------

BLOCKS = [(2, 1), (2, 2), (3, 2), (3, 3), (3, 3)]  # convolutions and channels: VGG-16's blocks, thinned


def vgg16() -> Model:
    layers: list[L.Layer] = []
    names: list[str] = []
    lower = 1
    for block, (count, channels) in enumerate(BLOCKS, start=1):
        for index in range(1, count + 1):
            layers += [L.Conv(np.ones((channels, lower, 3, 3)), padding=1), L.ReLU()]
            names += [f"conv{block}_{index}", f"relu{block}_{index}"]
            lower = channels
        layers.append(L.MaxPool(2))
        names.append(f"pool{block}")
    layers += [L.Flatten(), L.Dense(np.ones((3, 4))), L.ReLU(), L.Dropout(), L.Dense(np.ones((4, 4))), L.ReLU(), L.Dropout()]
    names += ["flatten", "fc6", "relu6", "drop6", "fc7", "relu7", "drop7"]
    return Model.sequential([*layers, L.Dense(np.ones((4, 2)))], [*names, "fc8"], domain=(-1, 1), input_shape=(1, 32, 32))


def test_on_vgg_16_the_overview_preset_is_the_published_assignment():
    """zᴮ first, LRP-γ(0.25) in the first three convolution blocks, LRP-ε(0.25 std) in the next two, LRP-0 on dense layers.

    (Montavon et al. 2019, Fig. 10.4; Montavon 2019, §13.2.2.) Maximum pooling as sum pooling (Montavon et al. 2019, §10.3.2).
    """
    gamma, relative = rules.Gamma(0.25), rules.Epsilon(rules.relative(0.25))
    expected = {
        "conv1_1": rules.ZBox(-1.0, 1.0),
        **dict.fromkeys(("conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"), gamma),
        **dict.fromkeys(("conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3"), relative),
        **dict.fromkeys(("fc6", "fc7", "fc8"), rules.Zero()),
        **dict.fromkeys(("pool1", "pool2", "pool3", "pool4", "pool5"), rules.AverageSurrogate(rules.Zero())),
    }
    model = vgg16()
    found = composites.lrp_overview().assign(model)
    assert {name: rule for name, rule in found.items() if name in expected} == expected
    assert {rule for name, rule in found.items() if name not in expected} == {rules.Pass()}
    assert Explainer(model, "lrp_overview").rules == found
    x = np.linspace(-1, 1, 2 * 32 * 32).reshape(2, 1, 32, 32)
    assert np.isfinite(explain(model, x, target=0, composite="lrp_overview").relevance).all()


def test_the_stages_of_vgg_16_are_its_blocks():
    found = stages(vgg16())
    for name, stage in found.items():
        block = re.match(r"(?:conv|relu|pool)(\d)(?:_|$)", name)
        assert stage == (int(block[1]) if block and not name.startswith(("relu6", "relu7")) else 6)


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 50])
def test_gamma_stages(count):
    found = composites.lrp_overview(gamma_stages=count).assign(vgg16())
    gamma = {name for name, rule in found.items() if rule == rules.Gamma(0.25)}
    assert gamma == {name for name in found if name.startswith("conv") and int(name[4]) <= count} - {"conv1_1"}


@pytest.mark.parametrize("count", [-1, 1.5, "3", True])
def test_gamma_stages_that_cannot_be(count):
    with pytest.raises(errors.ParameterError, match="the number of stages must be"):
        composites.lrp_overview(gamma_stages=count)


def test_a_stage_ends_at_a_strided_convolution_which_belongs_to_it():
    strided, plain = L.Conv(k1, stride=2), L.Conv(k1)
    model = Model.sequential(
        [plain, strided, L.ReLU(), plain, L.AvgPool(1), plain, L.GlobalSumPool(), plain, L.ConvTranspose(k1, stride=2), plain]
    )
    by_name = [stages(model)[node.name] for node in model.nodes]
    assert by_name == [1, 1, 2, 2, 2, 3, 3, 4, 4, 4]


@pytest.mark.parametrize(("number", "lower"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (10, 6)])
def test_the_lower_stages_are_three_fifths_of_those_that_hold_convolutions_rounded_up(number, lower):
    stage = [L.Conv(k1), L.ReLU(), L.MaxPool(1), L.AvgPool(1)]  # a stage without a convolution after each with one
    model = Model.sequential(stage * number)
    assert Stages()(model) == {f"conv{i}" for i in range(1, lower + 1)}


def test_where_branches_meet_the_later_stage_counts():
    model = Model(
        (
            Node("a", L.Conv(k1, stride=2), "input"),
            Node("skip", L.Conv(k1), "input"),
            Node("add", L.Add(), ("a", "skip")),
            Node("b", L.Conv(k1), "add"),
        )
    )
    assert stages(model) == {"a": 1, "skip": 1, "add": 2, "b": 2}


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


# ---- composites ------------------------------------------------------------------------------------------------------


def test_the_first_match_wins():
    made = Composite(((Name("conv1"), rules.Flat()), (L.Conv, rules.Gamma()), (L.Linear, rules.Zero()), (L.Layer, rules.Pass())))
    found = made.assign(small())
    assert found["conv1"] == rules.Flat()
    assert found["conv2"] == rules.Gamma()
    assert found["pool"] == found["out[0]"] == rules.Zero()
    assert found["relu"] == rules.Pass()


def test_the_users_entries_come_first_and_the_last_added_before_all():
    made = composites.epsilon_plus().with_rules({"conv1": rules.Flat(), L.Conv: rules.Gamma()})
    found = made.assign(small())
    assert (found["conv1"], found["conv2"], found["out[0]"]) == (rules.Flat(), rules.Gamma(), eps)
    again = made.with_rules([("conv*", rules.Zero())])
    assert again.assign(small())["conv1"] == rules.Zero()
    assert made.name == again.name == "epsilon_plus, changed"
    assert composites.epsilon_plus().assign(small())["conv1"] == plus


@pytest.mark.parametrize(
    ("rule", "error", "match"),
    [
        (rules.Epsilon, errors.ParameterError, r"a rule is needed, found <class .*; did you mean Epsilon\(\)\?"),
        ("Epsilon", errors.ParameterError, r"a rule is an object, not a name: rules\.Epsilon\(…\) for 'Epsilon'"),
        ("Epsilom", errors.UnknownNameError, r"unknown rule 'Epsilom'\. Did you mean 'Epsilon'\?"),
        (None, errors.ParameterError, "a rule is needed, found None"),
        (0.25, errors.ParameterError, r"a rule is needed, found 0\.25"),
        (rules.relative, errors.ParameterError, "a rule is needed, found <function relative"),
    ],
)
def test_what_is_no_rule(rule, error, match):
    for make in (
        lambda: composites.epsilon_plus().with_rules({"conv1": rule}),
        lambda: Composite(((L.Conv, rule),)),
        lambda: uniform(rule),
    ):
        with pytest.raises(error, match=match):
            make()


@pytest.mark.parametrize("entry", [3, (L.Conv,), (L.Conv, rules.Zero(), "more"), None])
def test_what_is_no_entry(entry):
    with pytest.raises(errors.ParameterError, match="an entry of a composite is a pair"):
        Composite((entry,))


def test_all_nodes_without_a_rule_are_listed_with_what_would_fit():
    chain = [L.Conv(k1), L.Tanh(), L.MaxPool(1), L.Softmax(), L.Flatten(), L.Dense(w)]
    made = Composite(((L.Dense, rules.Zero()), (L.Conv, rules.WinnerTakesAll())), "mine")
    with pytest.raises(errors.RuleError) as caught:
        made.assign(Model.sequential(chain))
    assert str(caught.value) == (
        "no rule for node 'conv1' (Conv): WinnerTakesAll() does not serve it (fits: a rule for linear layers, such as "
        "Epsilon()); "
        "node 'tanh1' (Tanh): nothing matches (fits: Pass()); "
        "node 'maxpool1' (MaxPool): nothing matches (fits: WinnerTakesAll(), Proportional() or AverageSurrogate()); "
        "node 'softmax1' (Softmax): nothing matches (fits: none: explain the score before it, or end the model there); "
        "node 'flatten1' (Flatten): nothing matches (fits: Pass())"
    )
    mine = type("Mine", (L.Identity,), {})
    assert made.with_rules({mine: rules.Pass()}).assign(Model.sequential([mine()])) == {"mine1": rules.Pass()}


def test_a_product_says_which_rules_fit():
    model = Model((Node("p", L.Multiply(), ("x", "y")),), ("x", "y"))
    with pytest.raises(errors.RuleError, match=r"fits: SignalTakesAll\(\), ProportionalProduct\(\), AbsoluteProduct\(\) or Half"):
        Composite(()).assign(model)


def test_only_needed_nodes_need_a_rule():
    model = Model.sequential([L.Dense(w), L.Softmax()])
    assert composites.epsilon_plus().assign(model, frozenset({"dense1"})) == {"dense1": eps}


# ---- uniform ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["convolution", "dense", "sum", "constant"])
@pytest.mark.parametrize("rule", [rules.Zero(), rules.Epsilon(0.5), zplus, plus, rules.Gamma(1), flat, rules.WSquare()], ids=str)
def test_one_rule_for_all_linear_layers(rule, row):
    for layer in ROWS[row]:
        for model in (behind_a_dense_layer(layer), at_the_input(layer)):
            assert uniform(rule).assign(model)["here"] == rule


@pytest.mark.parametrize("rule", [two, rules.AlphaBeta(1.5, 0.5), rules.AlphaBeta(2, 1, empty="renormalise")], ids=str)
def test_alpha_beta_with_beta_is_never_used_on_pooling_sums_and_constants(rule):
    for row, expected in (("convolution", rule), ("dense", rule), ("sum", eps), ("constant", eps)):
        for layer in ROWS[row]:
            assert uniform(rule).assign(behind_a_dense_layer(layer))["here"] == expected
    for preset in PRESETS:
        for layer in ROWS["sum"]:
            found = composite_of(preset).assign(behind_a_dense_layer(layer))["here"]
            assert not (isinstance(found, rules.AlphaBeta) and found.beta > 0)


def test_uniform_pooling():
    for layer in ROWS["maximum"]:
        assert uniform(eps).assign(behind_a_dense_layer(layer))["here"] == winner
        assert uniform(eps, rules.Proportional()).assign(behind_a_dense_layer(layer))["here"] == rules.Proportional()
    with pytest.raises(errors.ParameterError, match=r"uniform needs a rule for linear layers, found Pass\(\)"):
        uniform(rules.Pass())
    with pytest.raises(errors.ParameterError, match=r"a rule is needed, found <class .*did you mean WinnerTakesAll\(\)"):
        uniform(eps, rules.WinnerTakesAll)


# ---- names of composites ---------------------------------------------------------------------------------------------


def test_presets_by_name():
    for name, function in PRESETS.items():
        assert composite_of(name) == function()
        assert composite_of(name).name == name == function.__name__
        assert getattr(composites, name) is function
    made = composites.epsilon_plus()
    assert composite_of(made) is made


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        ("epsilon_plu", errors.UnknownNameError, r"unknown composite 'epsilon_plu'\. Did you mean 'epsilon_plus'\?"),
        ("", errors.UnknownNameError, "unknown composite ''"),
        (composites.epsilon_plus, errors.ParameterError, r"did you mean composites\.epsilon_plus\(\)\?"),
        (rules.Epsilon(), errors.ParameterError, r"found Epsilon\(.*; a single rule is given as rule="),
        (3, errors.ParameterError, "a composite is a Composite or the name of a preset, found 3$"),
    ],
)
def test_what_is_no_composite(value, error, match):
    with pytest.raises(error, match=match):
        composite_of(value)


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_the_table_says_node_layer_and_rule():
    text = composites.epsilon_plus().table(Model.sequential([L.Dense(w), L.ReLU(), L.Softmax()]))
    assert text.splitlines() == [
        "composite epsilon_plus",
        "node      layer                rule",
        "-" * len("dense1    Dense(weight[1, 1])  Epsilon()"),
        "dense1    Dense(weight[1, 1])  Epsilon()",
        "relu1     ReLU()               Pass()",
        "softmax1  Softmax()            –",
    ]


def test_a_long_name_stands_out_of_its_line_and_leaves_the_others_narrow():
    long = "/features/" + "block/" * 30 + "Conv"
    model = Model.sequential([L.Conv(k2), L.Conv(k2), L.ReLU()], ["a", long, "b"])
    lines = composites.epsilon_plus().table(model).splitlines()
    assert f"{long}  Conv(weight[1, 1, 1, 1])" in lines[4]
    assert max(len(line) for i, line in enumerate(lines) if i != 4) < 120
    assert lines[3].index("Conv(") == lines[5].index("ReLU(") == lines[1].index("layer")


def test_a_composite_prints_its_entries():
    made = Composite(((L.Conv, rules.Gamma()), ("a<b", rules.Zero())), "mine & yours")
    assert repr(made) == "composite mine & yours\n  Conv: Gamma()\n  name 'a<b': Zero()"
    assert made._repr_html_() == (
        "<table><caption>mine &amp; yours</caption><tr><td>Conv</td><td>Gamma()</td></tr>"
        "<tr><td>name &#x27;a&lt;b&#x27;</td><td>Zero()</td></tr></table>"
    )


# ---- the bounds of ZBox() --------------------------------------------------------------------------------------------


def bounds(model: Model, name: str = "conv1") -> rules.ZBox:
    found = Composite(((name, rules.ZBox()), (L.Selecting, winner), (L.Layer, rules.Pass()))).assign(model)[name]
    assert isinstance(found, rules.ZBox)
    return found


def conv_behind(*layers: L.Layer, channels: int = 2, dims: int = 2, **options) -> Model:
    conv = L.Conv(np.ones((1, channels, *(1,) * dims)))
    return Model.sequential([*layers, conv], [*(f"front{i}" for i in range(len(layers))), "conv1"], **options)


def tolist(box: rules.ZBox) -> tuple:
    return np.asarray(box.low).tolist(), np.asarray(box.high).tolist()


def test_the_domain_is_the_bounds_of_a_layer_at_the_input():
    assert tolist(bounds(conv_behind(domain=(-1, 2)))) == (-1.0, 2.0)
    per_channel = np.array([0.0, -1.0]).reshape(2, 1, 1)
    assert tolist(bounds(conv_behind(domain=(per_channel, 2)))) == ([[[0.0]], [[-1.0]]], 2.0)


def test_scales_in_front_move_the_bounds_and_a_negative_one_exchanges_them():
    assert tolist(bounds(conv_behind(L.Scale(2.0, 1.0), domain=(0, 3)))) == (1.0, 7.0)
    assert tolist(bounds(conv_behind(L.Scale(-2.0, 1.0), domain=(0, 3)))) == (-5.0, 1.0)
    mixed = L.Scale(np.array([2.0, -2.0]).reshape(2, 1, 1), 1.0)
    assert tolist(bounds(conv_behind(mixed, domain=(0, 3)))) == ([[[1.0]], [[-5.0]]], [[[7.0]], [[1.0]]])
    assert tolist(bounds(conv_behind(mixed, L.Scale(-1.0), domain=(0, 3)))) == ([[[-7.0]], [[-1.0]]], [[[-1.0]], [[5.0]]])


@pytest.mark.parametrize("shape", [None, (2, 4, 2)])
def test_a_batch_norm_in_front_is_per_channel_even_where_the_width_is_the_number_of_channels(shape):
    norm = L.BatchNorm([1.0, 2.0], [0.75, 3.75], [1.0, -2.0], [0.0, 0.5], epsilon=0.25)  # (a − 1), −(a − 2) + 1/2
    found = bounds(conv_behind(norm, domain=(0, 3), input_shape=shape))
    assert tolist(found) == ([[[-1.0]], [[-0.5]]], [[[2.0]], [[2.5]]])


def test_the_zeros_of_a_pad_lie_within_the_bounds():
    assert tolist(bounds(conv_behind(L.Pad(1), domain=(1, 2)))) == (0.0, 2.0)
    assert tolist(bounds(conv_behind(L.Pad(1), domain=(-2, -1)))) == (-2.0, 0.0)
    assert tolist(bounds(conv_behind(L.Pad(1), L.Scale(2.0, 1.0), domain=(1, 2)))) == (1.0, 5.0)
    scale = L.Scale(np.array([1.0, -1.0]).reshape(2, 1, 1))
    assert tolist(bounds(conv_behind(scale, L.Pad(1), domain=(1, 2)))) == ([[[0.0]], [[-2.0]]], [[[2.0]], [[0.0]]])


def test_bounds_of_every_cell_are_padded_with_zeros():
    low = np.array([[[1.0, 2.0]]])
    found = bounds(conv_behind(L.Pad(((0, 0), (1, 0))), channels=1, domain=(low, 3), input_shape=(1, 1, 2)))
    assert tolist(found) == ([[[0.0, 1.0, 2.0]]], [[[0.0, 3.0, 3.0]]])


def test_layers_that_move_elements_keep_a_number_and_take_arrays_along_where_the_shape_is_known():
    chain = [L.Flatten(), L.Dense(np.ones((4, 1)))]
    assert tolist(bounds(Model.sequential(chain, domain=(0, 1)), "dense1")) == (0.0, 1.0)
    low = np.array([-1.0, 0.0]).reshape(2, 1)
    known = Model.sequential(chain, domain=(low, 1), input_shape=(2, 2))
    assert tolist(bounds(known, "dense1")) == ([-1.0, -1.0, 0.0, 0.0], [1.0] * 4)
    with pytest.raises(
        errors.DomainError, match=r"node 'dense1' \(Dense\): behind node 'flatten1' \(Flatten\): it moves the elem"
    ):
        bounds(Model.sequential(chain, domain=(low, 1)), "dense1")


def test_exact_bounds_stay_exact():
    third = Fraction(1, 3)
    model = conv_behind(L.Scale(np.array(third, dtype=object), third), domain=(0, third)).astype(object)
    assert tolist(bounds(model)) == (third, Fraction(4, 9))
    tenth = conv_behind(L.Scale(0.1), domain=(0, 1)).astype(object)
    assert tolist(bounds(tenth))[1] == Fraction(0.1)


def test_in_floats_the_bounds_are_rounded_as_the_activations_are():
    scale = L.Scale(np.float32(0.1), np.float32(1000.0))
    model = conv_behind(scale, channels=1, domain=(0.3, 0.7), input_shape=(1, 2, 2)).astype(np.float32)
    ends = [float(model.trace(np.full((1, 1, 2, 2), x, np.float32))["front0"].ravel()[0]) for x in (0.3, 0.7)]
    assert tolist(bounds(model)) == tuple(ends)


@st.composite
def fronts(draw):
    """Affine layers, and perhaps pads, in front of a convolution; a domain, and two inputs within it."""
    sample = draw(st.sampled_from([(2, 3), (2, 2, 2), (3, 2, 3)]))
    layers: list[L.Layer] = []
    shape = sample
    for kind in draw(st.lists(st.sampled_from(["scale", "norm", "pad", "identity"]), max_size=4)):
        if kind == "scale":
            layers.append(draw(scales(shape, dyadics())))
        elif kind == "norm":
            layers.append(draw(batch_norms(shape, dyadics())))
        elif kind == "pad":
            layers.append(L.Pad(draw(st.integers(0, 1))))
        else:
            layers.append(L.Identity())
        shape = layers[-1].shape((1, *shape))[1:]
    low = draw(arrays(draw(st.sampled_from([(), (sample[0], *(1,) * (len(sample) - 1)), sample])), dyadics()))
    high = low + draw(arrays(draw(st.sampled_from([(), low.shape])), positives()))
    part = draw(arrays((2, *sample), st.integers(0, 4).map(lambda n: n / 4)))
    x = low + part * (high - low)
    model = conv_behind(*layers, channels=sample[0], dims=len(sample) - 1, domain=(low, high), input_shape=sample)
    return model.astype(object), cast(
        np.stack([*x, *np.broadcast_to((low, high) if low.shape == sample else x[:2], x.shape)]), object
    )


@given(fronts())
def test_the_bounds_hold_what_the_layers_make_of_the_domain_and_no_more(drawn):
    model, x = drawn
    box, shapes = bounds(model), model.shapes({"input": (1, *model.input_shape["input"])})
    source = model["conv1"].inputs[0]
    seen = model.trace(x)[source]
    low, high = (np.broadcast_to(b, seen.shape[1:]) for b in (box.low, box.high))
    assert ((low <= seen) & (seen <= high)).all()
    if any(isinstance(node.layer, L.Pad) for node in model.nodes):
        return
    # Elementwise affine: the ends of the box are the images of the ends of the domain.
    sample = shapes["input"]
    ends = [
        model.trace(np.array(np.broadcast_to(b, sample)))[source][0]
        for b in (model.domain["input"].low, model.domain["input"].high)
    ]
    assert (np.minimum(*ends) == low).all()
    assert (np.maximum(*ends) == high).all()


@fewer
@given(st.data())
def test_zb_behind_a_factor_is_zb_of_the_folded_layer(data):
    """(s a + t − low′) w⁺ = (a − low)(s w)⁺ for s > 0, and with the ends exchanged for s < 0; zero padding is no input."""
    sample = (2, 3)
    front = data.draw(scales(sample, dyadics()) | batch_norms(sample, dyadics()))
    conv = L.Conv(data.draw(arrays((2, 2, 2), dyadics())), padding=1)
    model = Model.sequential([front, conv], domain=(-3, 3), input_shape=sample).astype(object)
    x = fractions(data.draw(arrays((1, *sample), dyadics())))
    start = fractions(np.arange(1, 9).reshape(1, 2, 4) / 4)
    made = Composite(((L.Conv, rules.ZBox()), (L.Layer, rules.Pass())))
    folded, unfolded = (
        explain(model, x, composite=made, start=start, canonical=canonical).relevance for canonical in (True, False)
    )
    assert (folded == unfolded).all()


@pytest.mark.parametrize(
    ("front", "place"),
    [
        ([L.ReLU()], "'front0' (ReLU)"),
        ([L.AvgPool(1)], "'front0' (AvgPool)"),
        ([L.MaxPool(1), L.Scale(2.0)], "'front0' (MaxPool)"),
        ([L.Scale(2.0), L.Tanh()], "'front1' (Tanh)"),
        ([L.Conv(np.ones((2, 2, 1, 1)))], "'front0' (Conv)"),
        ([L.Upsample(2)], "'front0' (Upsample)"),
        ([L.Concat(1)], None),
    ],
    ids=repr,
)
def test_behind_anything_else_the_bounds_must_be_given(front, place):
    model = conv_behind(*front, domain=(0, 1))
    if place is None:
        assert tolist(bounds(model)) == (0.0, 1.0)
        return
    with pytest.raises(errors.DomainError) as caught:
        bounds(model)
    assert str(caught.value) == (
        f"node 'conv1' (Conv): ZBox() stands behind node {place}, whose values the domain does not bound: give ZBox(low, high)"
    )
    asked = composites.epsilon_plus().with_rules({"conv1": rules.ZBox(0, 9)})
    assert asked.assign(model)["conv1"] == rules.ZBox(0, 9)


def test_without_a_domain_the_error_says_how_to_give_one():
    for preset in ("epsilon_gamma_box", "lrp_overview"):
        with pytest.raises(errors.DomainError) as caught:
            Explainer(conv_behind(), preset)
        assert str(caught.value) == (
            "node 'conv1' (Conv): ZBox() needs bounds and the model has no domain for 'input': "
            "give low= and high=, or Model(…, domain=(low, high))"
        )


def test_a_norm_whose_channels_nobody_can_place_asks_for_the_shape():
    norm = L.BatchNorm([1.0, 2.0], [1.0, 1.0], epsilon=0)
    chain = [norm, L.Dense(np.ones((2, 1)))]
    with pytest.raises(
        errors.DomainError, match=r"behind node 'batchnorm1' .*are channels is not known: give the model input_shape="
    ):
        bounds(Model.sequential(chain, domain=(0, 1)), "dense1")
    assert tolist(bounds(Model.sequential(chain, domain=(0, 1), input_shape=(2,)), "dense1")) == ([-1.0, -2.0], [0.0, -1.0])
    sequence = Model.sequential(chain, domain=(0, 1), input_shape=(2, 2))
    assert tolist(bounds(sequence, "dense1")) == ([[-1.0], [-2.0]], [[0.0], [-1.0]])


def test_a_layer_of_several_inputs_needs_the_same_bounds_for_all():
    nodes = (Node("add", L.Add(), ("x", "y")),)
    same = Model(nodes, ("x", "y"), domain={"x": (0, 1), "y": (0.0, 1)})  # type: ignore[arg-type]
    assert tolist(bounds(same, "add")) == (0.0, 1.0)
    other = Model(nodes, ("x", "y"), domain={"x": (0, 1), "y": (0, 2)})  # type: ignore[arg-type]
    with pytest.raises(
        errors.DomainError, match=r"ZBox\(\) has one pair of bounds and the inputs have \[0\.0, 1\.0\], \[0\.0, 2\.0\]"
    ):
        bounds(other, "add")
    half = Model(nodes, ("x", "y"), domain={"x": (0, 1)})  # type: ignore[arg-type]
    with pytest.raises(errors.DomainError, match="no domain for 'y'"):
        bounds(half, "add")


def test_an_input_shape_that_does_not_fit_is_named():
    with pytest.raises(errors.ShapeError, match=r"node 'conv1' \(Conv\): expected 2 channels"):
        bounds(conv_behind(domain=(0, 1), input_shape=(3, 4, 4)))


def test_deep_taylor_takes_zb_where_the_domain_is_known_and_w2_where_it_is_not():
    nodes = (
        Node("a", L.Dense(w), "x"),
        Node("b", L.Dense(w), "y"),
        Node("c", L.Add(), ("a", "b")),
        Node("d", L.Add(), ("x", "y")),
    )
    for domain, a, b, d in (
        (None, rules.WSquare(), rules.WSquare(), rules.WSquare()),
        ({"x": (0, 1)}, box, rules.WSquare(), rules.WSquare()),
        ({"x": (0, 1), "y": (0, 1)}, box, box, box),
    ):
        found = composites.deep_taylor().assign(Model(nodes, ("x", "y"), domain=domain))  # type: ignore[arg-type]
        assert (found["a"], found["b"], found["d"], found["c"]) == (a, b, d, zplus)


def test_bounded_follows_the_graph():
    nodes = (Node("a", L.ReLU(), "x"), Node("b", L.Add(), ("a", "y")), Node("c", L.ReLU(), "b"))
    assert Bounded()(Model(nodes, ("x", "y"), domain={"x": (0, 1)})) == {"a"}  # type: ignore[arg-type]
    assert Bounded()(Model(nodes, ("x", "y"), domain={"x": (0, 1), "y": (0, 1)})) == {"a", "b", "c"}  # type: ignore[arg-type]
    assert Bounded()(Model(nodes, ("x", "y"))) == set()
