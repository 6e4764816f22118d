"""What is typed: models, rules, targets. Nothing that is typed is ever executed."""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..composites import PRESETS, Composite, Matcher, composite_of
from ..errors import LrpError, ParameterError, UnknownNameError, unknown
from ..network.model import Model
from ..rules import Rule
from ..rules.by_name import kind_named, rule_from
from .labels import class_of


@dataclass(frozen=True)
class GlobMatcher(Matcher):
    """Nodes whose name fits a glob and that the rule serves: "*" with a rule for linear layers means all of these."""

    pattern: str
    rule: Rule

    def __call__(self, model: Model) -> frozenset[str]:
        names = [node.name for node in model.nodes]
        fitting = [name for name in names if fnmatch.fnmatchcase(name, self.pattern)]
        if self.pattern in names:
            return frozenset([self.pattern])  # asked for by its name: a rule that does not serve it is an error
        if not fitting:
            raise unknown("node", self.pattern, names)
        served = frozenset(name for name in fitting if self.rule.fits(model[name].layer))
        if not served:
            raise UnknownNameError(f"{self.rule} serves none of the nodes that fit {self.pattern!r}: {', '.join(fitting)}")
        return served

    def __repr__(self) -> str:
        return f"name {self.pattern!r}"


#: What a rule looks like.
_RULE = re.compile(r"\s*[A-Za-z]\w*\s*(\(.*\))?\s*", re.DOTALL)


def composite(name: str, assignments: Sequence[str]) -> Composite:
    """The preset `name` with rules such as "conv1=Flat()" in front; of several that match a node the first holds.

    Parameters
    ----------
    name : of a preset
    assignments : texts such as "conv1=Flat()"

    Raises
    ------
    UnknownNameError
        Where there is no such preset or rule.
    ParameterError
        Where a text is no assignment.
    """
    if name not in PRESETS:  # no head of the command line starts a gradient
        kind = kind_named(name.partition("(")[0])
        if kind is not None:
            typed = name if "(" in name else f"{kind.__name__}()"
            raise UnknownNameError(f"{name!r} is a rule and no composite: --rule '*={typed}' uses it everywhere it serves")
        raise unknown("composite", name, PRESETS)
    preset = composite_of(name)
    pairs = [assignment(text) for text in assignments]
    return preset.with_rules({GlobMatcher(node, rule): rule for node, rule in pairs}) if pairs else preset


def assignment(text: str) -> tuple[str, Rule]:
    """The node or glob and the rule of a text such as NODE=RULE.

    Parameters
    ----------
    text : what is typed

    Raises
    ------
    ParameterError
        Where it is no assignment, or the rule does not take its arguments.
    UnknownNameError
        Where there is no such rule.
    """
    # A node may be called a=b, and a rule may have arguments: the first "=" behind which a rule stands divides them.
    parted = [(text[: sign_at.start()], "=", text[sign_at.end() :]) for sign_at in re.finditer("=", text)]
    node, sign, rule = next((parts for parts in parted if _RULE.fullmatch(parts[2])), text.partition("="))
    if not sign or not node.strip() or not rule.strip():
        raise ParameterError(f'--rule takes NODE=RULE, such as "conv1=Flat()" or "dense*=Epsilon(0.25)", found {text!r}')
    return node.strip(), rule_from(rule)


def method_of(name: str, settings: Sequence[str], model: Model, **choices: Any) -> Any:
    """The method of a name with parameters such as "steps=20".

    Parameters
    ----------
    name : of one of `lrp_ref.methods`, in any spelling
    settings : texts PARAMETER=VALUE; values are literals, and what is none is a text
    model : the network
    choices : what every method takes: head, output, backend, precision, threads, memory

    Raises
    ------
    ParameterError
        Where a text is no setting, or the method does not take its value.
    UnknownNameError
        Where there is no such method or parameter.
    """
    from ..methods import ModelMethod, method_named  # a second of explanations by LRP need not wait for them

    kind = method_named(name)
    common = {field.name for field in fields(ModelMethod)} | {"progress"}
    known = [field.name for field in fields(kind) if field.name not in common]
    given: dict[str, Any] = {}
    for text in settings:
        key, sign, value = text.partition("=")
        key = key.strip().replace("-", "_")
        if not sign or not key:
            raise ParameterError(f"--set takes PARAMETER=VALUE, such as steps=20, found {text!r}")
        if key not in known:
            raise unknown(f"parameter of {kind.__name__}", key, known)
        if key in given:
            raise ParameterError(f"--set gives {key} twice")
        given[key] = _literal(value.strip())
    try:
        return kind(model, **choices, **given)
    except LrpError:
        raise
    except TypeError as error:
        raise ParameterError(f"{kind.__name__} takes {', '.join(known) or 'no parameters'}: {error}") from None


def _literal(text: str) -> Any:
    """A number, a list, True, None; anything else is a text."""
    plain = {"true": "True", "false": "False", "none": "None"}.get(text.lower(), text)
    try:
        return ast.literal_eval(plain)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return text


def target_of(text: str, labels: Sequence[str] | None = None, option: str = "--target") -> Any:
    """The value of `target=` for "predicted", "all", "3", "1,2" for outputs of several axes, or the name of a class.

    Parameters
    ----------
    text : what is typed
    labels : the names of the classes; None: they have none
    option : how messages call it

    Raises
    ------
    ParameterError
        Where it is none of these, or several classes have the name.
    UnknownNameError
        Where no class has the name.
    """
    if text in ("predicted", "all"):
        return text
    return output_of(text, labels, f'{option} is "predicted", "all", or')


def output_of(text: str, labels: Sequence[str] | None, message: str) -> int | tuple[int, ...]:
    """The output that is typed as an index, as "1,2" where outputs have several axes, or as the name of a class.

    Parameters
    ----------
    text : what is typed
    labels : the names of the classes; None: they have none
    message : what begins the sentence that names what can be typed

    Raises
    ------
    ParameterError
        Where it is none of these, or several classes have the name.
    UnknownNameError
        Where no class has the name.
    """
    if re.fullmatch(r"-?\d+(,-?\d+)*", text):
        indices = tuple(int(part) for part in text.split(","))
        return indices[0] if len(indices) == 1 else indices
    if labels is None:
        raise ParameterError(f"{message} the index of an output (a class's name with --labels FILE), found {text!r}")
    return class_of(text, labels)


def outputs_of(text: str, labels: Sequence[str] | None) -> tuple[int | tuple[int, ...], ...]:
    """The outputs of --targets: indices or names of classes between commas, "0,1;2,3" where outputs have several axes.

    Parameters
    ----------
    text : what is typed
    labels : the names of the classes; None: they have none

    Raises
    ------
    ParameterError, UnknownNameError
        As `output_of` raises them, and where one is named twice.
    """
    parts = [part.strip() for part in text.split(";" if ";" in text else ",")]
    found = tuple(output_of(part, labels, "--targets takes, between commas,") for part in parts if part)
    if not found:
        raise ParameterError("--targets takes the outputs between commas, such as 3,8")
    if len(set(found)) < len(found):
        raise ParameterError(f"--targets names an output twice: {text!r}")
    return found
