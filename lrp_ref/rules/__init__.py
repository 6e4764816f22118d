"""How one layer redistributes relevance. Rules know layers, and neither names nor models."""

from .base import LinearRule, Rule
from .choices import ChoiceTakesAll
from .gradients import Gradient
from .linear import (
    AlphaBeta,
    Epsilon,
    Flat,
    Gamma,
    GeneralizedGamma,
    RelativeEpsilon,
    WSquare,
    ZBox,
    Zero,
    ZPlus,
    relative,
)
from .local_taylor import LocalTaylor
from .normalization import ConstantDeviation, ConstantStatistics
from .passing import Pass
from .pooling import AverageSurrogate, Proportional, WinnerTakesAll
from .products import AbsoluteProduct, HalfProduct, ProductRule, ProportionalProduct, SignalTakesAll
from .recurrent.rule import ThroughTime

__all__ = [
    "AbsoluteProduct",
    "AlphaBeta",
    "AverageSurrogate",
    "ChoiceTakesAll",
    "ConstantDeviation",
    "ConstantStatistics",
    "Epsilon",
    "Flat",
    "Gamma",
    "GeneralizedGamma",
    "Gradient",
    "HalfProduct",
    "LinearRule",
    "LocalTaylor",
    "Pass",
    "ProductRule",
    "Proportional",
    "ProportionalProduct",
    "RelativeEpsilon",
    "Rule",
    "SignalTakesAll",
    "ThroughTime",
    "WSquare",
    "WinnerTakesAll",
    "ZBox",
    "ZPlus",
    "Zero",
    "relative",
]
