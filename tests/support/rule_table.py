"""Every rule on one layer, worked out by hand.

The laws of `tests/rules/test_rules_laws.py` try a rule with the settings that it has here, where
`support.rule_strategies` lists none for it.
"""

from __future__ import annotations

from lrp_ref import rules
from support.by_hand import F, dense, row

L1 = dense([[3, -1], [-1, 2]], [1, -1])
A1, R1 = row(1, 2), row(6, 12)
#: z = L1(A1), the bias among them.
Z1 = L1.forward(A1)

TABLE = [
    # rule, R of the lower layer, in the bias, in the stabiliser; the sum and what is lost follow
    (rules.Zero(), (3, 18), -3, 0),
    (rules.Epsilon(1), (2, 12), -2, 6),
    (rules.Epsilon(1, signed=False), (2, 12), -2, 6),
    (rules.Epsilon(F(1, 2)), ("12/5", "72/5"), F(-12, 5), F(18, 5)),
    (rules.Gamma(F(1, 4)), ("7/2", 16), F(-3, 2), 0),
    (rules.GeneralizedGamma(F(1, 4)), ("7/2", 16), F(-3, 2), 0),
    (rules.Gamma(1), (4, 14), 0, 0),
    (rules.ZPlus(), (6, 12), 0, 0),
    (rules.AlphaBeta(1, 0), ("9/2", 12), F(3, 2), 0),
    (rules.AlphaBeta(2, 1, bias="none"), (0, 18), 0, 0),
    (rules.AlphaBeta(2, 1), (3, 18), -3, 0),
    (rules.AlphaBeta(F(3, 2), F(1, 2)), ("15/4", 15), F(-3, 4), 0),
    (rules.WSquare(), ("39/5", "51/5"), 0, 0),
    (rules.Flat(), (9, 9), 0, 0),
    (rules.ZBox(0, 3), ("17/2", "19/2"), 0, 0),
    (rules.ZBox(-1, 3), ("57/7", "69/7"), 0, 0),
]
