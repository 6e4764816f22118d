"""Which rule at which node: the presets against the table that defines them, stages, entries of one's own, tables."""

import itertools
import re

import numpy as np
import pytest

from lrp_ref import Composite, Explainer, Model, Node, composites, errors, explain, rules
from lrp_ref import layers as L
from lrp_ref.composites import (
    PRESETS,
    Name,
    Stages,
    composite_of,
    stages,
    uniform,
)

# ---- the table -------------------------------------------------------------------------------------------------------

w4 = np.ones((1, 4))
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
    "normalisation": [L.LRN()],
    "embedding": [L.Embedding(w)],
    "recurrent": [L.LSTM.from_arrays(w4, w4), L.GRU.from_arrays(w4[:, :3], w4[:, :3]), L.RNN.from_arrays(w, w)],
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
    **{name: (e, e, e, winner, "–") for name, e in (
        ("lstm_all", rules.Epsilon(0.001)), ("lstm_prop", rules.Epsilon(0.2)),
        ("lstm_abs", rules.Epsilon(0.001)), ("lstm_half", rules.Epsilon(0.001)),
    )},
}  # fmt: skip
EVERYWHERE = {
    "product": rules.SignalTakesAll(),
    "recurrent": rules.ThroughTime(rules.SignalTakesAll(), rules.Epsilon(0.001), rules.Epsilon(0.001)),
    **dict.fromkeys(("constant", "activation", "shape", "normalisation", "embedding"), rules.Pass()),
}
#: What a preset has instead.
PRODUCTS = {
    "lstm_prop": rules.ProportionalProduct(0.2),
    "lstm_abs": rules.AbsoluteProduct(0.001),
    "lstm_half": rules.HalfProduct(),
}


def test_the_table_is_complete():
    """Every kind of layer that the presets were made for, and every preset. Other layers are refused until a rule is given."""
    kinds = """
        Dense Scale Add Subtract Mean Conv ConvTranspose MaxPool AvgPool SumPool GlobalAvgPool GlobalMaxPool GlobalSumPool ReLU
        LeakyReLU Tanh Sigmoid GELU Softplus BatchNorm Concat Multiply Flatten Reshape Transpose Pad Upsample Dropout Identity
        Softmax LogSoftmax LRN Embedding LSTM GRU RNN
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
    if preset in PRODUCTS and row == "product":
        expected = PRODUCTS[preset]
    if preset in PRODUCTS and row == "recurrent":
        expected = rules.ThroughTime(PRODUCTS[preset], dense, sums)
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


def test_the_presets_of_products_take_an_epsilon_for_everything():
    linear = rules.Epsilon(0.5)
    for name, product in (
        ("lstm_all", rules.SignalTakesAll()),
        ("lstm_prop", rules.ProportionalProduct(0.5)),
        ("lstm_abs", rules.AbsoluteProduct(0.5)),
        ("lstm_half", rules.HalfProduct()),
    ):
        made = PRESETS[name](0.5)
        assert made.name == f"{name}(0.5)"
        assert made.assign(behind_a_dense_layer(L.Dense(w)))["here"] == linear
        assert made.assign(behind_a_dense_layer(L.Multiply(1)))["here"] == product
        found = made.assign(behind_a_dense_layer(L.LSTM.from_arrays(w4, w4)))["here"]
        assert found == rules.ThroughTime(product, linear, linear)
    with pytest.raises(errors.ParameterError):
        PRESETS["lstm_half"](-1)


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


# ---- composites ------------------------------------------------------------------------------------------------------


def small() -> Model:
    chain = [L.Conv(k2), L.ReLU(), L.AvgPool(1), L.Conv(k2), L.Tanh(), L.Flatten(), L.Dense(w)]
    return Model.sequential(chain, ["conv1", "relu", "pool", "conv2", "tanh", "flat", "out[0]"])


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
        ("Epsilon(", errors.ParameterError, r"'Epsilon\(' is no rule; one looks like"),
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
        "no rule for node 'conv1' (Conv): WinnerTakesAll(ties='lowest') does not serve it (fits: a rule for linear layers, "
        "such as Epsilon()); "
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
        "-" * len("dense1    Dense(weight[1, 1])  Epsilon(epsilon=1e-06, signed=True)"),
        "dense1    Dense(weight[1, 1])  Epsilon(epsilon=1e-06, signed=True)",
        "relu1     ReLU()               Pass()",
        "softmax1  Softmax()            –",
    ]


def test_a_long_name_stands_out_of_its_line_and_leaves_the_others_narrow():
    long = "/features/" + "block/" * 30 + "Conv"
    model = Model.sequential([L.Conv(k2), L.Conv(k2), L.ReLU()], ["a", long, "b"])
    lines = composites.epsilon_plus().table(model).splitlines()
    assert f"{long}  Conv(weight[1, 1, 1, 1])" in lines[4]
    assert max(len(line) for i, line in enumerate(lines) if i != 4) < 130
    assert lines[3].index("Conv(") == lines[5].index("ReLU(") == lines[1].index("layer")


def test_a_composite_prints_its_entries():
    made = Composite(((L.Conv, rules.Gamma()), ("a<b", rules.Zero())), "mine & yours")
    assert repr(made) == "composite mine & yours\n  Conv: Gamma(gamma=0.25, epsilon=0)\n  name 'a<b': Zero()"
    assert made._repr_html_() == (
        "<table><caption>mine &amp; yours</caption><tr><td>Conv</td><td>Gamma(gamma=0.25, epsilon=0)</td></tr>"
        "<tr><td>name &#x27;a&lt;b&#x27;</td><td>Zero()</td></tr></table>"
    )
