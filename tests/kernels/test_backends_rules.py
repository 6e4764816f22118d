"""Every rule on every layer, by every backend in every precision: the literal definition, within the bound of its arithmetic.

A layer stands alone in a model, so that what is compared is one step: behind a ReLU or not, with one behind it or not, with
relevance or a quotient arriving. The laws of the rules themselves are those of test_rules_laws; here it is that no backend
departs from them, whatever it knows of the surroundings.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import rules
from lrp_ref.arrays import Array, fractions
from support.one_layer import AROUND, DTYPES, PRECISIONS, ROUNDOFF, Around, arriving, behind_relu, explained, lower
from support.rule_strategies import ALL_RULES, LINEAR_RULES, Ruled, exactly_folded, roundable, ruled, settings_for, small, sweep
from support.strategies import Case

each_rule = pytest.mark.parametrize("kind", ALL_RULES, ids=lambda kind: kind.__name__)
some = settings(max_examples=max(settings.default.max_examples // 3, 10))


def fits(case: Case) -> bool:
    return small(case) and exactly_folded(case)


def surrounded(drawn: Ruled, around: Around) -> Ruled:
    """The rule with what the surroundings let through: inputs that a ReLU can give, and bounds that hold them."""
    if not around.front:
        return drawn
    case = behind_relu(drawn.case)
    bounds = settings_for(rules.ZBox, case)[0] if isinstance(drawn.rule, rules.ZBox) else drawn.rule
    return Ruled(case, bounds)


def moved(drawn: Ruled, around: Around) -> Ruled:
    """The layer under the rule with the relevance that arrives there."""
    return Ruled(Case(drawn.case.layer, drawn.case.inputs, arriving(drawn.case, around)), drawn.rule)


def agree(drawn: Ruled, around: Around, precisions: tuple[str, ...], allowed: list[tuple[Array, ...]]) -> None:
    """R_j of every backend within u · `allowed` of the oracle, for each sample."""
    exact = moved(drawn, around).messages()
    for backend in lrp_ref.BACKENDS:
        for precision in precisions:
            e = explained(drawn.case, drawn.rule, around, backend=backend, precision=precision)
            u = Fraction(ROUNDOFF[precision])
            for n, m in enumerate(exact):
                for R, expected, bound in zip(lower(e, drawn.case, around), m.relevances, allowed[n], strict=True):
                    assert R.dtype == e.dtype
                    assert (abs(fractions(R[n : n + 1]) - expected) <= u * bound).all(), (backend, precision)


def counted(drawn: Ruled, around: Around) -> list[tuple[Array, ...]]:
    """4·n·Σ_k |R_{j←k}|: where z is exact, what rounds is a division, some products and a sum of at most n terms."""
    return [tuple(4 * m.fan * size for size in m.sizes) for m in moved(drawn, around).messages()]


@each_rule
@some
@given(st.data(), st.sampled_from(AROUND))
def test_on_dyadic_data_every_backend_is_the_literal_definition(kind, data, around):
    """CONV-FLOAT-DYADIC, at 4·n·u of Σ_k |R_{j←k}|: every z is exact in float32 too, so that dead shares, ties and signs
    are those of the definition, and κ plays no part. Data include ±0, empty pools and windows that are negative throughout.
    """
    drawn = surrounded(data.draw(ruled(kind, fits)), around)
    assume(kind is not rules.Pass or drawn.case.layer.shape(*drawn.case.shapes) == drawn.case.shapes[0])
    agree(drawn, around, PRECISIONS, counted(drawn, around))


@pytest.mark.parametrize("kind", LINEAR_RULES, ids=lambda kind: kind.__name__)
def test_so_it_is_under_every_setting_of_every_rule(kind):
    """Hypothesis may not give every setting a layer on which it matters."""
    for number, drawn in enumerate(sweep(kind)):
        around = AROUND[number % len(AROUND)]
        ready = surrounded(drawn, around)
        agree(ready, around, PRECISIONS[number % 3 : number % 3 + 1], counted(ready, around))


@each_rule
@some
@given(st.data(), st.sampled_from(AROUND))
def test_on_general_data_every_backend_stays_within_the_rounding_bound(kind, data, around):
    """CONV-FLOAT-GENERAL: |R_j − exact_j| ≤ 4·n·u·Σ_k |R_{j←k}|·(1 + κ_k).

    Each precision sees the data whose signs it can decide. κ_k of what arrives through an identity is that of z alone, 1.
    """
    drawn = surrounded(data.draw(ruled(kind, general=True)), around)
    each = moved(drawn, around).messages()
    signs = Ruled(drawn.case, rules.Epsilon(0)) if (around.behind or around.above) and kind in LINEAR_RULES else drawn
    known = signs.messages()
    precisions = [
        name for name in PRECISIONS if all(roundable(*pair, Fraction(ROUNDOFF[name])) for pair in ((drawn, each), (signs, known)))
    ]
    assume(precisions)
    agree(drawn, around, tuple(precisions), [m.tolerance(Fraction(1)) for m in each])


@each_rule
@settings(max_examples=10)
@given(st.data(), st.sampled_from(AROUND))
def test_an_empty_batch_gives_empty_results_of_the_right_type(kind, data, around):
    drawn = surrounded(data.draw(ruled(kind, lambda _: True, batch=st.just(0))), around)
    for backend in lrp_ref.BACKENDS:
        for precision in PRECISIONS:
            e = explained(drawn.case, drawn.rule, around, backend=backend, precision=precision, ledger=True)
            for R, a in zip(lower(e, drawn.case, around), drawn.case.inputs, strict=True):
                assert R.shape == a.shape
                assert R.dtype == DTYPES[precision]
            assert e.ledger["layer"].rounding.shape == (0,)
