"""The presets, as a table of data: one row for each, the rule of each kind of node.

Every preset takes `add=`, a rule for Add and Subtract instead of the table's, also where they come first. Under ε the
branches of a sum share its relevance in proportion to their values: branches that nearly cancel get many times what arrived,
with opposite signs, and the ledger flags it. `add=rules.ZPlus()` is the stable alternative: only what adds to the sum gets a
share, and never more than arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..arrays import Number
from ..errors import ParameterError, UnknownNameError, unknown
from ..layers.activations import Activation, Softmax
from ..layers.base import BaseEmbedding, Layer, Linear, Recurrent
from ..layers.conv import Conv, ConvTranspose
from ..layers.functions import Choice
from ..layers.lengths import MinMaxNorm
from ..layers.linear import Add, Dense, Scale, StackedDense, Subtract
from ..layers.merge import Multiply
from ..layers.normalization import BatchNorm
from ..layers.norms import LRN, Normalised
from ..layers.pooling import Pooling, Selecting
from ..layers.shape import Rearrangement
from ..lazy_dataclass import lazy_dataclass
from ..rules import (
    AbsoluteProduct,
    AlphaBeta,
    AverageSurrogate,
    ChoiceTakesAll,
    ConstantDeviation,
    ConstantStatistics,
    Epsilon,
    Flat,
    Gamma,
    GeneralizedGamma,
    Gradient,
    HalfProduct,
    LinearRule,
    Pass,
    ProductRule,
    Proportional,
    ProportionalProduct,
    Rule,
    SignalTakesAll,
    ThroughTime,
    WinnerTakesAll,
    WSquare,
    ZBox,
    Zero,
    ZPlus,
    relative,
)
from ..rules.base import spelled
from ..rules.recurrent.rule import RECURRENT_EPSILON
from .composite import Composite, rule_of
from .matchers import Bounded, First, Stages, Type

_CONVOLUTIONS = (Conv, ConvTranspose)
_CONSTANTS = (BatchNorm, Scale)


@lazy_dataclass(frozen=True)
class _Row:
    """One preset: the rule of each kind of node. `first` is the rule of the first linear layer, None: like the others."""

    conv: Rule
    dense: Rule
    sums: Rule
    pool: Rule
    first: Rule | None = None
    lower: Rule | None = None  # convolutions of the lower stages
    bounded: Rule | None = None  # the first linear layer, where the model knows the domain
    add: Rule | None = None  # Add and Subtract, wherever they are
    product: Rule = SignalTakesAll()
    recurrent: Rule | None = ThroughTime()  # None: recurrent layers are refused
    norm: ConstantDeviation = ConstantDeviation()

    def composite(self, name: str, gamma_stages: int | None = None) -> Composite:
        added = [(Type(Add, Subtract), rule_of(self.add))] if self.add is not None else []
        bounded = [(First() & Bounded(), self.bounded)] if self.bounded else []
        first = [(First(), self.first)] if self.first else []
        lower = [(Stages(gamma_stages), self.lower)] if self.lower else []
        recurrent = [(Type(Recurrent), self.recurrent)] if self.recurrent else []
        return Composite(
            (
                *added,
                *bounded,
                *first,
                *lower,
                (Type(*_CONVOLUTIONS), self.conv),
                (Type(Dense, StackedDense), self.dense),
                (Type(Selecting), self.pool),
                (Type(Pooling), Proportional() if isinstance(self.pool, WinnerTakesAll) else self.pool),  # Lp has no winner
                (Type(Choice), ChoiceTakesAll()),
                (Type(Multiply), self.product),
                *recurrent,
                (Type(*_CONSTANTS, LRN), Pass()),
                (Type(Linear), self.sums),  # Add, Subtract, Mean, the poolings that are linear, upsampling
                (Type(MinMaxNorm), ConstantStatistics(self.norm.epsilon)),
                (Type(Normalised), self.norm),
                (Type(Activation) & ~Type(Softmax), Pass()),
                (Type(Rearrangement, BaseEmbedding), Pass()),
            ),
            name if self.add is None else _parametrised(name, f"add={self.add}"),
        )


def _changed(name: str, **given: tuple[Any, Any]) -> str:
    """A preset's name with the parameters that are not the usual ones; `given` are pairs (value, usual)."""
    parts = [f"{key}={spelled(value)}" for key, (value, usual) in given.items() if value is not usual and not _same(value, usual)]
    return f"{name}({', '.join(parts)})" if parts else name


def _same(value: Any, usual: Any) -> bool:
    return usual is not None and bool(value == usual)


def _parametrised(name: str, text: str) -> str:
    """A preset's name with one more parameter, as it would be typed."""
    if name.startswith("uniform "):
        return f"{name}, {text}"
    return f"{name[:-1]}, {text})" if name.endswith(")") else f"{name}({text})"


_ROWS: dict[str, _Row] = {
    "epsilon_plus": _Row(AlphaBeta(1, 0), Epsilon(), Epsilon(), WinnerTakesAll()),
    "epsilon_alpha2_beta1": _Row(AlphaBeta(2, 1), Epsilon(), Epsilon(), WinnerTakesAll()),
    "epsilon_gamma_box": _Row(GeneralizedGamma(), Epsilon(), Epsilon(), WinnerTakesAll(), first=ZBox()),
    "deep_taylor": _Row(ZPlus(), ZPlus(), ZPlus(), Proportional(), first=WSquare(), bounded=ZBox()),
    "alpha1_beta0": _Row(AlphaBeta(1, 0), AlphaBeta(1, 0), ZPlus(), WinnerTakesAll()),
    "lrp_overview": _Row(Epsilon(relative(0.25)), Zero(), Epsilon(), AverageSurrogate(), first=ZBox(), lower=Gamma()),
    "innvestigate_a": _Row(AlphaBeta(1, 0), Epsilon(0.1), Epsilon(), WinnerTakesAll()),
    "innvestigate_b": _Row(AlphaBeta(2, 1), Epsilon(0.1), Epsilon(), WinnerTakesAll()),
}
for _name in ("epsilon_plus", "epsilon_alpha2_beta1", "innvestigate_a", "innvestigate_b"):
    _ROWS[f"{_name}_flat"] = replace(_ROWS[_name], first=Flat())


def epsilon_plus(epsilon: Number = 1e-6, add: Rule | None = None) -> Composite:
    """α1β0 (bias in the pool) on convolutions, ε on dense layers: the default (Samek et al. 2021, Fig. 1.1).

    Parameters
    ----------
    epsilon : ε on dense layers and sums, at least 0
    add : the rule of Add and Subtract; None: ε
    """
    return _with_epsilon("epsilon_plus", epsilon, add)


def epsilon_plus_flat(epsilon: Number = 1e-6, add: Rule | None = None) -> Composite:
    """`epsilon_plus` with the flat rule in the first linear layer.

    Parameters
    ----------
    epsilon : ε on dense layers and sums, at least 0
    add : the rule of Add and Subtract; None: ε
    """
    return _with_epsilon("epsilon_plus_flat", epsilon, add)


def epsilon_alpha2_beta1(epsilon: Number = 1e-6, add: Rule | None = None) -> Composite:
    """α2β1 on convolutions, ε on dense layers.

    Parameters
    ----------
    epsilon : ε on dense layers and sums, at least 0
    add : the rule of Add and Subtract; None: ε
    """
    return _with_epsilon("epsilon_alpha2_beta1", epsilon, add)


def epsilon_alpha2_beta1_flat(epsilon: Number = 1e-6, add: Rule | None = None) -> Composite:
    """`epsilon_alpha2_beta1` with the flat rule in the first linear layer.

    Parameters
    ----------
    epsilon : ε on dense layers and sums, at least 0
    add : the rule of Add and Subtract; None: ε
    """
    return _with_epsilon("epsilon_alpha2_beta1_flat", epsilon, add)


def _with_epsilon(name: str, epsilon: Number, add: Rule | None) -> Composite:
    row = replace(_ROWS[name], dense=Epsilon(epsilon), sums=Epsilon(epsilon), add=add)
    return row.composite(_changed(name, epsilon=(epsilon, 1e-6)))


def epsilon_gamma_box(
    low: Any = None, high: Any = None, gamma: Number = 0.25, epsilon: Number = 1e-6, add: Rule | None = None
) -> Composite:
    """zᴮ in the first linear layer, generalised γ on convolutions, ε on dense layers.

    Parameters
    ----------
    low, high : the bounds of the first layer's input; None: the model's domain
    gamma, epsilon : of the γ and the ε rules
    add : the rule of Add and Subtract; None: ε
    """
    row = replace(
        _ROWS["epsilon_gamma_box"],
        first=ZBox(low, high),
        conv=GeneralizedGamma(gamma),
        dense=Epsilon(epsilon),
        sums=Epsilon(epsilon),
        add=add,
    )
    changed = {"low": (low, None), "high": (high, None), "gamma": (gamma, 0.25), "epsilon": (epsilon, 1e-6)}
    return row.composite(_changed("epsilon_gamma_box", **changed))


def deep_taylor(low: Any = None, high: Any = None, add: Rule | None = None) -> Composite:
    """Deep Taylor decomposition: z⁺, and in the first linear layer zᴮ, or w² without bounds (Montavon et al. 2018, Tab. 2).

    It is defined for a positive start only; the explainer refuses others unless `allow_negative=True`.

    Parameters
    ----------
    low, high : the bounds of the first layer's input, numbers or arrays that broadcast against one sample; None: the model's
        domain, and w² where it has none
    add : the rule of Add and Subtract; None: z⁺
    """
    row = replace(_ROWS["deep_taylor"], add=add)
    if low is not None or high is not None:
        row = replace(row, first=ZBox(low, high), bounded=None)
    return replace(row.composite(_changed("deep_taylor", low=(low, None), high=(high, None))), positive_start=True)


def alpha1_beta0(add: Rule | None = None) -> Composite:
    """α1β0 in every weighted layer.

    Parameters
    ----------
    add : the rule of Add and Subtract; None: z⁺
    """
    return replace(_ROWS["alpha1_beta0"], add=add).composite("alpha1_beta0")


def lrp_overview(low: Any = None, high: Any = None, gamma_stages: int | None = None, add: Rule | None = None) -> Composite:
    """zᴮ first, γ on the lower stages, ε of 0.25 rms on the upper ones, LRP-0 on dense layers (Montavon et al. 2019, Fig. 10.4).

    Parameters
    ----------
    low, high : the bounds of the first layer's input; None: the model's domain
    gamma_stages : how many stages take γ; None: the first ⌈3/5⌉ (on VGG-16 the first three of five blocks)
    add : the rule of Add and Subtract; None: ε
    """
    name = _changed("lrp_overview", low=(low, None), high=(high, None), gamma_stages=(gamma_stages, None))
    return replace(_ROWS["lrp_overview"], first=ZBox(low, high), add=add).composite(name, gamma_stages)


def innvestigate_a(add: Rule | None = None) -> Composite:
    """ε = 0.1 on dense layers, α1β0 on convolutions (iNNvestigate's sequential preset A).

    Parameters
    ----------
    add : the rule of Add and Subtract; None: ε = 1e-6
    """
    return replace(_ROWS["innvestigate_a"], add=add).composite("innvestigate_a")


def innvestigate_b(add: Rule | None = None) -> Composite:
    """ε = 0.1 on dense layers, α2β1 on convolutions (iNNvestigate's sequential preset B).

    Parameters
    ----------
    add : the rule of Add and Subtract; None: ε = 1e-6
    """
    return replace(_ROWS["innvestigate_b"], add=add).composite("innvestigate_b")


def innvestigate_a_flat(add: Rule | None = None) -> Composite:
    """`innvestigate_a` with the flat rule in the first linear layer.

    Parameters
    ----------
    add : the rule of Add and Subtract; None: ε = 1e-6
    """
    return replace(_ROWS["innvestigate_a_flat"], add=add).composite("innvestigate_a_flat")


def innvestigate_b_flat(add: Rule | None = None) -> Composite:
    """`innvestigate_b` with the flat rule in the first linear layer.

    Parameters
    ----------
    add : the rule of Add and Subtract; None: ε = 1e-6
    """
    return replace(_ROWS["innvestigate_b_flat"], add=add).composite("innvestigate_b_flat")


def lstm_all(epsilon: Number = RECURRENT_EPSILON, add: Rule | None = None) -> Composite:
    """LRP-all: products give everything to their signal, ε for every linear map and sum (Arras et al. 2017; 2019, §11.5.1).

    Parameters
    ----------
    epsilon : ε of the linear maps and sums, inside the cells and outside
    add : the rule of Add and Subtract; None: ε
    """
    return _recurrent("lstm_all", SignalTakesAll(), epsilon, RECURRENT_EPSILON, add)


def lstm_prop(epsilon: Number = 0.2, add: Rule | None = None) -> Composite:
    """LRP-prop: products share in proportion to their factors; ε there, and for every linear map and sum.

    0.2 is the least ε with which Arras et al. 2019, §11.5.1 found it stable.

    Parameters
    ----------
    epsilon : ε of the products, and of the linear maps and sums, inside the cells and outside
    add : the rule of Add and Subtract; None: ε
    """
    return _recurrent("lstm_prop", ProportionalProduct(epsilon), epsilon, 0.2, add)


def lstm_abs(epsilon: Number = RECURRENT_EPSILON, add: Rule | None = None) -> Composite:
    """LRP-abs: products share in proportion to their factors' sizes; ε there, and for every linear map and sum.

    Parameters
    ----------
    epsilon : ε of the products, and of the linear maps and sums, inside the cells and outside
    add : the rule of Add and Subtract; None: ε
    """
    return _recurrent("lstm_abs", AbsoluteProduct(epsilon), epsilon, RECURRENT_EPSILON, add)


def lstm_half(epsilon: Number = RECURRENT_EPSILON, add: Rule | None = None) -> Composite:
    """LRP-half: products halve their relevance, ε for every linear map and sum (Arjona-Medina et al. 2019).

    Parameters
    ----------
    epsilon : ε of the linear maps and sums, inside the cells and outside
    add : the rule of Add and Subtract; None: ε
    """
    return _recurrent("lstm_half", HalfProduct(), epsilon, RECURRENT_EPSILON, add)


def _recurrent(name: str, product: ProductRule, epsilon: Number, usual: Number, add: Rule | None) -> Composite:
    linear = Epsilon(epsilon)
    through = ThroughTime(product, linear, linear)
    row = _Row(linear, linear, linear, WinnerTakesAll(), product=product, recurrent=through, add=add)
    return row.composite(name if epsilon == usual else f"{name}({epsilon})")


def uniform(rule: LinearRule | str, pool: Rule | None = None, add: Rule | None = None) -> Composite:
    """One rule for every linear layer, Scale and batch norm included, and for the linear maps and sums inside recurrent cells.

    αβ with β > 0 is never used on pooling, sums and constant factors, whose negative pool is empty: they take ε = 1e-6 then. zᴮ
    is for inputs and not for states: recurrent layers are refused under it. Normalisations by the input's own statistics have
    the ε-rule alone: that of `rule` where it is `Zero()` or a signed ε, ε = 1e-6 under other rules.

    Parameters
    ----------
    rule : a rule for linear layers, or its name, such as "epsilon" or "gamma(0.25)"
    pool : the rule of maximum pooling; None: `WinnerTakesAll()`, with which uniform LRP-0 equals gradient × input
    add : the rule of Add and Subtract; None: `rule`

    Raises
    ------
    ParameterError
        Where `rule` is no rule for linear layers.
    """
    named = rule_of(rule)
    if not isinstance(named, LinearRule):
        raise ParameterError(f"uniform needs a rule for linear layers, found {rule!r}")
    rule = named
    signed = isinstance(rule, AlphaBeta) and rule.beta > 0
    sums = Epsilon() if signed else rule
    recurrent = None if isinstance(rule, ZBox) else ThroughTime(linear=rule, accumulation=sums)
    row = _Row(rule, rule, sums, pool or WinnerTakesAll(), add=add, recurrent=recurrent, norm=_norm_rule(rule))
    made = row.composite(f"uniform {rule}" if pool is None else f"uniform {rule}, pool={pool}")
    return Composite(((Type(*_CONSTANTS), row.sums), *made.entries), made.name)


def _norm_rule(rule: LinearRule) -> ConstantDeviation:
    """The rule of normalisations beside `rule` everywhere else."""
    if isinstance(rule, Zero):
        return ConstantDeviation(0)
    return ConstantDeviation(rule.epsilon) if isinstance(rule, Epsilon) and rule.signed else ConstantDeviation()


def gradient() -> Composite:
    """The gradient of a score: every layer's derivative, from `head="unit"` down. It conserves nothing.

    Times the input it is gradient × input, which LRP-0 with winner-takes-all pooling equals in networks of ReLU layers, off the
    kinks (Montavon et al. 2019, §10.2.1).
    """
    return Composite(((Type(Layer), Gradient()),), "gradient")


PRESETS: dict[str, Callable[[], Composite]] = {
    function.__name__: function
    for function in (
        epsilon_plus,
        epsilon_plus_flat,
        epsilon_alpha2_beta1,
        epsilon_alpha2_beta1_flat,
        epsilon_gamma_box,
        deep_taylor,
        alpha1_beta0,
        lrp_overview,
        innvestigate_a,
        innvestigate_a_flat,
        innvestigate_b,
        innvestigate_b_flat,
        lstm_all,
        lstm_prop,
        lstm_abs,
        lstm_half,
    )
}


#: Composites that have a name: the presets, and those of derivatives, which conserve nothing.
NAMED: dict[str, Callable[[], Composite]] = {**PRESETS, "gradient": gradient}


def composite_of(value: Any) -> Composite:
    """A composite from a `Composite`, a preset's name, or "gradient".

    Parameters
    ----------
    value : a `Composite`, which is returned; the name of one of `PRESETS`, with its usual parameters; or "gradient"

    Raises
    ------
    UnknownNameError
        Where no composite has that name; the nearest one is suggested.
    ParameterError
        Where it is neither a composite nor a name.
    """
    if isinstance(value, Composite):
        return value
    if isinstance(value, str):
        if value not in NAMED:
            from ..rules.by_name import kind_named

            if kind_named(value.partition("(")[0]) is not None:
                raise UnknownNameError(f"{value!r} is a rule and no composite: rule={value!r} uses it everywhere")
            raise unknown("composite", value, NAMED)
        return NAMED[value]()
    slip = next((name for name, function in NAMED.items() if function is value), None)
    hint = (
        f"; did you mean composites.{slip}()?" if slip else "; a single rule is given as rule=" if isinstance(value, Rule) else ""
    )
    raise ParameterError(f"a composite is a Composite or the name of a preset, found {value!r}{hint}")
