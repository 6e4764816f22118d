"""What is asked for is done or refused: rules inside recurrent cells and normalisations, and what tables say of them."""

from __future__ import annotations

import inspect
import re
from fractions import Fraction

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, composites, rules
from lrp_ref import layers as L
from lrp_ref.errors import RuleError

F = Fraction
ROW = np.array([[[F(1), F(2)], [F(-1), F(3)], [F(2), F(1)]]])
#: An RNN of one step more than its bias lets LRP-0 be told from ε, all of whose units are active.
RNN = L.RNN.from_arrays(
    np.array([[2, 1], [1, 3]]) * F(1), np.array([[1, 0], [1, 1]]) * F(1), np.array([1, 2]) * F(1), activation="relu"
)


def lstm(rng: np.random.Generator, hidden: int = 3) -> L.LSTM:
    return L.LSTM.from_arrays(
        rng.standard_normal((2, 4 * hidden)), rng.standard_normal((hidden, 4 * hidden)), rng.standard_normal(4 * hidden)
    )


def test_uniform_lrp_0_reaches_the_maps_of_a_cell():
    """LRP-0 over active ReLUs is gradient × input: R_t = x_t W (U^(T − t)) v, in rationals."""
    model = Model.sequential([RNN, L.Dense(np.array([[1], [2]]) * F(1))])
    e = lrp_ref.explain(model, ROW, rule=rules.Zero(), ledger=True)
    w, u, v = np.array([[2, 1], [1, 3]]), np.array([[1, 0], [1, 1]]), np.array([1, 2])
    expected = np.stack([ROW[0, t] * (w @ np.linalg.matrix_power(u, 2 - t) @ v) for t in range(3)])
    assert (e.relevance[0] == expected).all()
    assert e.ledger.stabiliser.tolist() == [0]


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
@pytest.mark.parametrize("rule", [rules.Zero(), rules.Epsilon(0.5), rules.ZPlus(), rules.AlphaBeta(2, 1)], ids=str)
def test_uniform_means_the_rule_inside_cells(rule, backend):
    rng = np.random.default_rng(1)
    model = Model.sequential([lstm(rng), L.Dense(rng.standard_normal((3, 2)))])
    sums = rules.Epsilon() if isinstance(rule, rules.AlphaBeta) else rule  # whose second pool would be empty
    stated = composites.uniform(rule).with_rules({L.LSTM: rules.ThroughTime(linear=rule, accumulation=sums)})
    x = rng.standard_normal((2, 4, 2))
    found = lrp_ref.explain(model, x, target=1, rule=rule, backend=backend, ledger=True)
    expected = lrp_ref.explain(model, x, target=1, composite=stated, backend=backend)
    usual = lrp_ref.explain(model, x, target=1, composite="lstm_all", backend=backend)
    assert (found.relevance == expected.relevance).all()
    assert not np.allclose(found.relevance, usual.relevance, rtol=1e-6, atol=0)
    assert rule != rules.Zero() or not found.ledger.stabiliser.any()


def test_a_box_is_refused_in_cells():
    model = Model.sequential([lstm(np.random.default_rng(0))])
    with pytest.raises(RuleError, match=r"\(LSTM\): nothing matches \(fits: ThroughTime\(\)\)"):
        lrp_ref.Explainer(model, rule=rules.ZBox(-1, 1))


@pytest.mark.parametrize(
    ("rule", "held"),
    [
        (rules.Zero(), rules.ConstantDeviation(0)),
        (rules.Epsilon(0.5), rules.ConstantDeviation(0.5)),
        (rules.Epsilon(rules.relative(0.25)), rules.ConstantDeviation(rules.relative(0.25))),
        (rules.ZPlus(), rules.ConstantDeviation()),
    ],
    ids=str,
)
def test_the_stabiliser_reaches_normalisations(rule, held):
    model = Model.sequential([L.Dense([[1.0, 2, 4], [2, 1, -1]]), L.LayerNorm(1), L.Dense([[1.0], [2], [3]])])
    assert lrp_ref.Explainer(model, rule=rule).rules["layernorm1"] == held


# ---- what tables say --------------------------------------------------------------------------------------------------

CELL = "linear=Epsilon(epsilon=0.001, signed=True), accumulation=Epsilon(epsilon=0.001, signed=True), operands='activated')"


def test_tables_plans_and_ledgers_say_the_parameters_in_force():
    rng = np.random.default_rng(0)
    model = Model.sequential([lstm(rng), L.Dense(rng.standard_normal((3, 2)))], input_shape=(4, 2))
    usual = lrp_ref.Explainer(model, ledger=True)
    e = usual(rng.standard_normal((1, 4, 2)))
    for text in (repr(usual), usual._repr_html_().replace("&#x27;", "'"), repr(e.ledger), composites.epsilon_plus().table(model)):
        assert f"ThroughTime(product=SignalTakesAll(), {CELL}" in text
        assert "Epsilon(epsilon=1e-06, signed=True)" in text
    assert repr(composites.lstm_prop()).count("ProportionalProduct(epsilon=0.2)") == 2
    assert CELL in repr(usual.plan())
    exact = repr(lrp_ref.Explainer(model, rule=rules.Zero()))
    assert "0.001" not in exact
    assert "linear=Zero(), accumulation=Zero()" in exact


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (rules.Epsilon(), "Epsilon(epsilon=1e-06, signed=True)"),
        (rules.Epsilon(np.float64(0.5)), "Epsilon(epsilon=0.5, signed=True)"),
        (rules.Epsilon(rules.relative(0.25), False), "Epsilon(epsilon=relative(0.25), signed=False)"),
        (rules.AlphaBeta(), "AlphaBeta(alpha=2, beta=1, bias='pool', empty='drop')"),
        (rules.AverageSurrogate(), "AverageSurrogate(rule=Zero())"),
        (rules.AverageSurrogate(rules.Epsilon()), "AverageSurrogate(rule=Epsilon(epsilon=1e-06, signed=True))"),
        (rules.ZBox(), "ZBox()"),
        (rules.ZBox(np.zeros((1, 1)), [[2.0]]), "ZBox(low=[[0.0]], high=[[2.0]])"),
        (rules.ZBox(np.zeros(5), [1, 2, 3, 4, 5]), "ZBox(low=array[5] from 0.0 to 0.0, high=array[5] from 1 to 5)"),
        (rules.Zero(), "Zero()"),
    ],
    ids=repr,
)
def test_a_rule_is_its_parameters(rule, text):
    assert str(rule) == text


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (composites.epsilon_gamma_box(), "epsilon_gamma_box"),
        (composites.epsilon_gamma_box(-1, 1, gamma=0.5), "epsilon_gamma_box(low=-1, high=1, gamma=0.5)"),
        (composites.epsilon_plus(0.5, rules.ZPlus()), "epsilon_plus(epsilon=0.5, add=ZPlus())"),
        (composites.lrp_overview(gamma_stages=2), "lrp_overview(gamma_stages=2)"),
        (composites.deep_taylor(0, 1), "deep_taylor(low=0, high=1)"),
        (composites.uniform(rules.Zero(), pool=rules.Proportional()), "uniform Zero(), pool=Proportional()"),
    ],
    ids=str,
)
def test_a_composite_is_called_by_the_parameters_that_are_not_the_usual_ones(made, name):
    assert made.name == name


# ---- what the documents promise ---------------------------------------------------------------------------------------


KINDS = [kind for name in rules.__all__ if isinstance(kind := getattr(rules, name), type) and issubclass(kind, rules.Rule)]
CITED = re.compile(r"[A-Z]\w+(-\w+)?( et al\.)? \d{4}(, |.{0,80}?)(Eq\.|Eqs\.|Tab\.|Table|Fig\.|§|Sect\.|Prop\.|Appendix)")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not inspect.isabstract(kind)])
def test_every_rules_docstring_cites_where_its_equation_stands(kind):
    """README: "Every rule's docstring cites the equation that it implements": a paper, and the place in it."""
    assert CITED.search(" ".join((kind.__doc__ or "").split()))


@pytest.mark.parametrize("name", composites.PRESETS)
def test_no_preset_uses_alpha_beta_with_beta_where_a_pool_would_be_empty(name):
    """CONV-AB-POOLING."""
    for layer in (L.AvgPool(2), L.SumPool(2), L.GlobalAvgPool(), L.Mean((1,)), L.Upsample(2), L.MaxPool(2), L.LpPool(2)):
        for front in ([], [L.Conv(np.ones((1, 1, 1, 1)))]):
            model = Model.sequential([*front, layer], input_shape=(1, 4, 4), domain=(0, 1))
            rule = list(composites.composite_of(name).assign(model).values())[-1]
            assert not isinstance(rule, rules.AlphaBeta) or rule.beta == 0
