r"""Going back through a graph: the definition of propagation, which `run` is tested against.

A node hands the relevance of its output to its inputs. What several readers hand to one node adds up:

.. math:: R_j = \sum_{k \,\text{reads}\, j} R_{j \leftarrow k}

How a node shares its relevance out is a rule's affair (`lrp_ref.rules.shares`); which rule, a composite's. There is nothing here
for speed, and there are no accounts: `plan` and `run` have them, and give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ..arrays import Array, zeros
from ..errors import LrpError, RuleError
from ..network.model import Model, Node
from ..rules.base import Rule

#: From a node, its inputs, its output and the relevance of its output to the relevance of each input.
AtNode: TypeAlias = Callable[[Node, tuple[Array, ...], Array, Array], tuple[Array, ...]]


def backward(model: Model, activations: Mapping[str, Array], start: Mapping[str, Array], at_node: AtNode) -> dict[str, Array]:
    """The relevance of every node's output, and of every input, that a start reaches.

    Parameters
    ----------
    model : the network; its nodes are in computing order
    activations : the output of every node, and every input, (N, …) each: `model.trace(x).activations`
    start : the relevance that begins at nodes, of the shape of their outputs
    at_node : what one node does: `by_rules`

    Returns
    -------
    relevance by name, each of the shape of the activation
    """
    relevance = dict(start)
    for node in reversed(model.nodes):
        if node.name not in relevance:
            continue
        inputs = tuple(activations[name] for name in node.inputs)
        parts = at_node(node, inputs, activations[node.name], relevance[node.name])
        for name, part in zip(node.inputs, parts, strict=True):
            relevance[name] = relevance[name] + part if name in relevance else part
    return relevance


def by_rules(rules: Mapping[str, Rule]) -> AtNode:
    """Every node shares its relevance out by its rule.

    Parameters
    ----------
    rules : by node. One without a rule is a node where no relevance arrives, as the gate of a product under a rule that gives
        everything to the signal

    Raises
    ------
    RuleError
        When called for a node without a rule where relevance has arrived, or with one that does not serve it.
    """

    def at_node(node: Node, inputs: tuple[Array, ...], output: Array, relevance: Array) -> tuple[Array, ...]:
        if node.name not in rules:
            if relevance.any():
                raise RuleError(f"relevance arrives at {node.title}, which has no rule: composite.assign gives it one")
            return tuple(zeros(a.shape, a) for a in inputs)
        try:
            return rules[node.name].relevances(node.layer, inputs, output, relevance)
        except LrpError as error:
            raise error.at(node.title) from None

    return at_node
