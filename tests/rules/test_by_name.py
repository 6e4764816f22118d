"""Rules by their names, with parameters in parentheses: one way of writing for the command line and for Python."""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import composites, errors, rules, zoo
from lrp_ref.cli import codes
from lrp_ref.rules.by_name import kind_named, known_rules, rule_from
from support.cli_runner import run


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("epsilon", rules.Epsilon()),
        ("Epsilon(0.25)", rules.Epsilon(0.25)),
        ("gamma(0.5)", rules.Gamma(0.5)),
        ("alpha_beta(2, beta=1)", rules.AlphaBeta(2, 1)),
        ("z_plus", rules.ZPlus()),
        ("zplus()", rules.ZPlus()),
        ("W_Square", rules.WSquare()),
        ("epsilon(relative(0.25))", rules.Epsilon(rules.relative(0.25))),
        ("average_surrogate(zero)", rules.AverageSurrogate(rules.Zero())),
        (" generalized_gamma ", rules.GeneralizedGamma()),
    ],
)
def test_a_rule_has_a_name(text, rule):
    assert str(rule_from(text)) == str(rule)


def test_no_two_rules_have_the_same_name():
    assert all(kind_named(name) is kind for name, kind in known_rules().items())
    assert all(kind_named(name.lower()) is kind for name, kind in known_rules().items())


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("epsilom", errors.UnknownNameError, "unknown rule 'epsilom'. Did you mean 'Epsilon'"),
        ("gamma(x)", errors.UnknownNameError, "unknown rule 'x'"),
        ("gamma(1, 2, 3)", errors.ParameterError, "Gamma takes gamma=0.25, epsilon=0"),
        ("gamma(", errors.ParameterError, "is no rule; one looks like"),
        ("0.25", errors.ParameterError, "is no rule"),
        ("relative(0.25)", errors.ParameterError, "is no rule"),
        ("gamma(-1)", errors.ParameterError, "gamma"),
        ("gamma(*[1])", errors.ParameterError, "written out"),
        ("__import__('os')", errors.UnknownNameError, "unknown rule '__import__'"),
    ],
)
def test_a_text_that_is_no_rule_is_refused(text, kind, message):
    with pytest.raises(kind) as raised:
        rule_from(text)
    assert message in str(raised.value)


@pytest.mark.parametrize(("text", "rule"), [("epsilon", rules.Epsilon()), ("gamma(0.5)", rules.Gamma(0.5))])
def test_python_takes_the_names_of_rules(text, rule):
    model, x = zoo.load("digits"), zoo.digits().images[:2]
    wanted = lrp_ref.explain(model, x, rule=rule).relevance
    np.testing.assert_array_equal(lrp_ref.explain(model, x, rule=text).relevance, wanted)
    np.testing.assert_array_equal(lrp_ref.explain(model, x, composite=composites.uniform(text)).relevance, wanted)
    assert lrp_ref.Explainer(model, rule=text).rules["dense1"] == rule
    changed = composites.epsilon_plus().with_rules({"conv1": text})
    assert lrp_ref.Explainer(model, changed).rules["conv1"] == rule


def test_a_name_of_a_rule_for_other_layers_is_refused():
    with pytest.raises(errors.ParameterError, match="uniform needs a rule for linear layers, found 'winner_takes_all'"):
        lrp_ref.Explainer(zoo.load("digits"), rule="winner_takes_all")


def test_a_rule_in_the_place_of_a_composite_says_what_to_type(tmp_path):
    """And what is said to be typed works."""
    model, x = zoo.load("digits"), zoo.digits().images[:1]
    with pytest.raises(errors.UnknownNameError, match=r"'gamma\(0.5\)' is a rule and no composite: rule='gamma\(0.5\)'"):
        lrp_ref.explain(model, x, composite="gamma(0.5)")
    np.save(tmp_path / "x.npy", x)
    for typed, rule in (("epsilon", "*=Epsilon()"), ("gamma(0.5)", "*=gamma(0.5)")):
        said = run("explain", "zoo:digits", tmp_path / "x.npy", "--composite", typed, code=codes.USAGE).err
        assert f"is a rule and no composite: --rule '{rule}' uses it everywhere it serves" in said
        assert "explained" in run("explain", "zoo:digits", tmp_path / "x.npy", "--rule", rule).out
    assert "Did you mean 'epsilon_plus'" in run("inspect", "zoo:digits", "--composite", "epsilon_plu", code=codes.USAGE).err
