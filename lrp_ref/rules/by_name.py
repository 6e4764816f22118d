"""Rules from texts such as "epsilon" and "Gamma(0.25)". Nothing of a text is ever executed."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any

from .. import rules
from ..errors import LrpError, ParameterError, unknown
from .base import Rule

_SHAPE = 'one looks like "epsilon" or "Epsilon(0.25)"'


def known_rules() -> dict[str, type[Rule]]:
    """Every rule of `lrp_ref.rules` that can be made, by name, in the order of their definition."""
    queue, kinds = [Rule], {}
    while queue:
        kind = queue.pop(0)
        queue = [*kind.__subclasses__(), *queue]
        if getattr(rules, kind.__name__, None) is kind and not inspect.isabstract(kind):
            kinds[kind.__name__] = kind
    return kinds


def kind_named(name: str) -> type[Rule] | None:
    """The rule of a name, whatever its case and underscores: "ZPlus", "zplus" and "z_plus" are one; None where there is none.

    Parameters
    ----------
    name : of a rule, without parameters
    """
    return next((kind for known, kind in known_rules().items() if _folded(known) == _folded(name)), None)


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def rule_from(text: str) -> Rule:
    """A rule from its name, with parameters in parentheses: literals, rules, and `relative(0.25)`.

    Parameters
    ----------
    text : such as "epsilon", "gamma(0.25)" or "AlphaBeta(2, beta=1)"

    Raises
    ------
    ParameterError
        Where it is no call with literal arguments, or the rule does not take them.
    UnknownNameError
        Where there is no such rule; the message gives the nearest.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ParameterError(f"{text!r} is no rule; {_SHAPE}") from None
    value = _value_of(tree, text)
    if not isinstance(value, Rule):
        raise ParameterError(f"{text!r} is no rule; {_SHAPE}")
    return value


def _value_of(node: ast.expr, text: str) -> Any:
    """The value of a literal, or of a call of a rule with such values."""
    name = node.func if isinstance(node, ast.Call) else node
    if not isinstance(name, ast.Name):
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise ParameterError(f"{text!r}: arguments are literals such as 0.25 or 'none', or other rules") from None
    maker: Callable[..., Any] | None = rules.relative if _folded(name.id) == "relative" else kind_named(name.id)
    if maker is None:
        raise unknown("rule", name.id, [*known_rules(), "relative"])
    call = node if isinstance(node, ast.Call) else ast.Call(name, [], [])
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        raise ParameterError(f"{text!r}: arguments are written out, without * and **")
    values = [_value_of(a, text) for a in call.args]
    named = {str(k.arg): _value_of(k.value, text) for k in call.keywords}
    try:
        return maker(*values, **named)
    except LrpError:
        raise
    except TypeError:
        # A wrong argument of a constructor; its own message speaks of __init__.
        takes = [str(p.replace(annotation=p.empty)) for p in inspect.signature(maker).parameters.values()]
        raise ParameterError(f"{text!r}: {maker.__name__} takes {', '.join(takes) or 'no arguments'}") from None
