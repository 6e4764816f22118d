"""Where relevance goes: from the nodes where it starts down to the inputs, under the rules of a composite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TypeAlias

from ..arrays import Shape
from ..errors import RuleError
from ..lazy_dataclass import lazy_dataclass
from ..network.model import Model, ancestors
from ..rules import Rule
from ..rules.passing import PassSquash
from .scores import Scores

#: From a model, the nodes that need a rule, rules of nodes that no entry serves, and where relevance starts to rules by node.
Assign: TypeAlias = Callable[[Model, frozenset[str], Mapping[str, Rule], tuple[str, ...]], dict[str, Rule]]


@lazy_dataclass(frozen=True, eq=False)
class Route:
    """What is explained of a model under a composite, and by which rules.

    Attributes
    ----------
    scores : what of the output, and where that begins
    rules : of the nodes below, where one serves them
    idle : the nodes below without a rule, where no relevance arrives
    unserved : where relevance cannot begin, since a node below has no rule: which nodes, and what would fit
    """

    scores: Scores
    rules: Mapping[str, Rule]
    idle: frozenset[str]
    unserved: Mapping[str, str] = field(default_factory=dict)

    def require(self, *begins: str) -> None:
        """Raise `RuleError` where relevance is to begin above a node without a rule.

        Parameters
        ----------
        begins : the names of the nodes where relevance is to begin

        Raises
        ------
        RuleError
            Where one of them is in `unserved`; the message names the nodes below that have no rule.
        """
        wrong = [self.unserved[name] for name in begins if name in self.unserved]
        if wrong:
            raise RuleError("; ".join(dict.fromkeys(wrong)))


def route(
    model: Model, assign: Assign, scores: Scores, shapes: Mapping[str, Shape] | None = None, start_at: str | None = None
) -> Route:
    """Where relevance goes in `model`.

    Where it begins at several nodes, those under which every node has a rule that needs one are served.

    Parameters
    ----------
    model : canonised
    assign : which rule goes where: `Composite.assign`, for these nodes, rules of others, and nodes where relevance starts
    scores : of the model
    shapes : of every input and node, for a batch of one sample; None where they are not known
    start_at : where a given start begins; None: where the scores are

    Raises
    ------
    RuleError
        Where nodes that relevance reaches have no rule, wherever it begins; all are listed, with what would fit.
    """
    others = dict.fromkeys(scores.squashes, PassSquash())

    def served(needed: frozenset[str], *starts: str) -> dict[str, Rule]:
        return assign(model, needed, others, starts)

    below = ancestors(model, *scores.explained_nodes)
    begins = scores.explained_nodes if start_at is None else (start_at,)
    try:
        rules = served(below, *begins)
        return Route(scores, rules, below.difference(rules))
    except RuleError as error:
        if start_at is not None:
            raise
        scores = scores.split(model, shapes or {})
        begins, below = scores.explained_nodes, ancestors(model, *scores.explained_nodes)
        unserved = {}
        for name in begins:
            try:
                served(below, name)
            except RuleError as wrong:
                unserved[name] = str(wrong)
        good = tuple(name for name in begins if name not in unserved)
        if not good:
            raise error from None
    rules = served(below, *good)
    return Route(scores, rules, below.difference(rules), unserved)
