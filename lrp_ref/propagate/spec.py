"""What is explained, and by which steps: everything about an explanation but the numbers of an input."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UnknownNameError, unknown
from ..forks import cached_property
from ..lazy_dataclass import lazy_dataclass
from ..network.model import Model, ancestors
from .doubt import Origin, origin
from .forward import last_reads
from .plan import Plan
from .route import Route
from .scores import Scores


@lazy_dataclass(frozen=True, eq=False)
class ExplainSpec:
    """What an explainer asks of a call.

    Attributes
    ----------
    plan : the steps
    original : the model before it was canonised
    route : what is explained of the output, where that begins, and where relevance goes
    keep : nodes and inputs whose relevance the explanation keeps
    with_ledger : whether it carries the accounts
    composite : the composite's name
    method : how this explains, for the explanation
    positive_start : whether a negative start is refused
    start_at : the node where a given start begins; None: where the scores are
    """

    plan: Plan
    original: Model
    route: Route
    keep: tuple[str, ...]
    with_ledger: bool
    composite: str
    method: str
    positive_start: bool
    start_at: str | None = None

    # Calls are many, and small ones short: what they share is worked out once.

    @cached_property
    def observed(self) -> frozenset[str]:
        """Where relevance is put aside: what is kept, or has the same relevance."""
        return frozenset(self.plan.fused_into.get(name, name) for name in self.keep)

    @property
    def scores(self) -> Scores:
        """What is explained of every element of the output."""
        return self.route.scores

    @cached_property
    def below(self) -> frozenset[str]:
        """The nodes that what is explained is computed from."""
        return ancestors(self.plan.model, *self.scores.explained_nodes)

    @cached_property
    def dead_after(self) -> tuple[tuple[str, ...], ...]:
        """For each step the activations that nothing reads after it."""
        wanted: set[str | None] = {*self.plan.needed_activations, *self.scores.explained_nodes, *self.plan.model.inputs}
        wanted |= {self.scores.output, self.start_at}
        wanted |= {name for origin in self.origins.values() for name in origin.node.inputs}
        return last_reads(self.plan.steps, wanted)

    @cached_property
    def origins(self) -> dict[str, Origin]:
        """For each node where relevance starts the linear node whose sums its scores are, where there is one."""
        linear = {name: origin(self.plan.model, name) for name in self.scores.explained_nodes}
        return {name: node for name, node in linear.items() if node is not None}

    @cached_property
    def rule_names(self) -> Mapping[str, str]:
        """The rule of every node, as its account names it; none without a ledger."""
        return {name: str(rule) for name, rule in self.route.rules.items()} if self.with_ledger else {}

    @cached_property
    def head(self) -> str:
        """The name of the head that is in force."""
        return self.scores.explained.name

    @cached_property
    def cautions(self) -> tuple[str, ...]:
        """What a reader has to know of the model, and of what is explained of it."""
        return (*self.plan.model.remarks, *self.scores.remarks)

    @cached_property
    def precision(self) -> str:
        """That of the plan."""
        return self.plan.precision

    def require(self, name: str, what: str) -> str:
        """The name of a node or input that the explained output depends on; `what` is it for messages.

        Raises
        ------
        UnknownNameError
            Where there is none of this name, or the output does not depend on it.
        """
        model = self.plan.model
        if name in self.below or name in model.inputs:
            return name
        if name in model:
            raise unreached(what, name)
        known = [*model.inputs, *(node.name for node in model.nodes if node.name in self.below)]
        raise unknown_node(what, name, known, self.original)


def unknown_node(what: str, name: str, known: list[str], original: Model) -> UnknownNameError:
    """The error for a node that is not `known` in the canonised model; it says so where the node was folded away."""
    error = unknown(what, name, known)
    return UnknownNameError(f"{error} It was folded into its linear neighbour.") if name in original else error


def unreached(what: str, name: str) -> UnknownNameError:
    """The error for a node that the explained output does not depend on."""
    return UnknownNameError(f"{what} {name!r} is not below the explained output, so no relevance reaches it")
