"""What every rule is: a value with one method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import Field, fields, is_dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, like
from ..errors import RuleError
from ..layers.base import Layer, Linear
from ..ledger import Booking
from .shares import Quotient, book, quotients, redistribute
from .terms import Share

MOST_NUMBERS = 4  # of an array that a table writes out


class Rule(ABC):
    """How one layer redistributes the relevance of its output to its inputs. Rules compare by value."""

    #: Where the rule comes from.
    source: ClassVar[str] = ""
    #: The layers that the rule serves, in words, for error messages and tables.
    serves: ClassVar[str] = ""
    #: The rule as LaTeX, with the parameters' symbols.
    formula: ClassVar[str] = ""
    #: Where the rule is used.
    usage: ClassVar[str] = ""
    #: Whether what arrives is accounted for: handed on, or booked. A derivative is no share of anything.
    conserves: ClassVar[bool] = True

    @abstractmethod
    def fits(self, layer: Layer) -> bool:
        """Whether the rule serves this layer.

        Parameters
        ----------
        layer : the layer whose relevance is to be redistributed; its class decides, its parameters do not
        """

    @abstractmethod
    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        """Each input's relevance, and what the layer accounts for.

        Parameters
        ----------
        layer : the layer
        inputs : its inputs, each (N, …)
        output : its output for them (of a linear layer: the pre-activation)
        relevance : R_k, of the output's shape and number type

        Raises
        ------
        RuleError
            Where the rule does not serve the layer or these inputs.
        """

    def hands_on(self, layer: Layer) -> tuple[bool, ...]:
        """For each input of the layer whether it can get relevance: (False, True) where a gate never gets any.

        Parameters
        ----------
        layer : a layer that the rule serves
        """
        return (True,) * layer.arity

    def decides(self, layer: Layer) -> bool:
        """Whether a layer that the rule serves says all that the rule must know, such as which factor of a product is the signal.

        A node that does not is left without a rule where no relevance arrives, and refused where some does.

        Parameters
        ----------
        layer : a layer that the rule serves
        """
        return True

    def relevances(self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array) -> tuple[Array, ...]:
        """The relevance of each input, (N, …): `propagate` without the accounts.

        Parameters
        ----------
        layer, inputs, output, relevance : as in `propagate`

        Raises
        ------
        RuleError
            Where the rule does not serve the layer or these inputs.
        """
        return self.propagate(layer, inputs, output, relevance)[0]

    def require(self, layer: Layer) -> None:
        """Raise `RuleError` unless the rule serves `layer`.

        Parameters
        ----------
        layer : the layer that the rule is to serve

        Raises
        ------
        RuleError
            Where it is not one of those that the rule `serves`; the message names these.
        """
        if not self.fits(layer):
            raise RuleError(f"{self} serves {self.serves}, not {type(layer).__name__}")

    def _repr_latex_(self) -> str:
        """The rule with its parameters, and its formula, as a notebook sets it."""
        name = str(self).replace("_", r"\_")
        return rf"$\displaystyle \mathtt{{{name}}}\colon\quad {self.formula}$" if self.formula else rf"$\mathtt{{{name}}}$"

    def __str__(self) -> str:
        # All parameters, the usual ones too: tables, plans and ledgers must say what was done.
        given: tuple[Field[Any], ...] = fields(self) if is_dataclass(self) else ()
        return f"{type(self).__name__}({', '.join(f'{f.name}={spelled(getattr(self, f.name))}' for f in given)})"


def spelled(value: Any) -> str:
    """A parameter of a rule as text: short arrays are written out, long ones by shape and range.

    Parameters
    ----------
    value : a number, an array, a rule, or anything with a `repr`
    """
    if isinstance(value, (np.ndarray, list, tuple)) and np.size(value) > MOST_NUMBERS:
        return f"array{list(np.shape(value))} from {np.min(value)} to {np.max(value)}"
    if isinstance(value, (np.ndarray, np.generic)):
        return repr(value.tolist())
    return str(value) if isinstance(value, Rule) else repr(value)


class LinearRule(Rule):
    """A rule that is data: it declares shares, and the engine of `lrp_ref.rules.shares` does the rest."""

    serves: ClassVar[str] = "linear layers"
    #: "drop" or "renormalise" (see `lrp_ref.rules.shares.quotients`).
    empty: str = "drop"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Linear)

    @abstractmethod
    def shares(self, weight: Array, bias: Array | None) -> tuple[Share, ...]:
        """The rule as data: the shares λ · (feature · weight + bias) / (z + e) of one input's part of the layer.

        Parameters
        ----------
        weight : the weight of one input, as the layer holds it, in the number type of the input
        bias : the layer's bias, shaped to broadcast against the output; None: it has none
        """

    def flags(self, inputs: tuple[Array, ...]) -> tuple[str, ...]:
        """Remarks for the ledger on using the rule on these inputs, such as "outside its domain" of Gamma on negative ones.

        Parameters
        ----------
        inputs : the layer's inputs, each (N, …)
        """
        return ()

    def divided(
        self, layer: Linear, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Quotient, ...], Array]:
        """The first half of `propagate`: the quotient s = λ R / (z + e) of each share, and the relevance that no share took.

        Parameters
        ----------
        layer, inputs, output, relevance : as in `propagate`

        Returns
        -------
        tuple
            One `Quotient` per share, with arrays of the output's shape; and the unassigned relevance, of the output's shape.
        """
        bias = layer.offset(output.ndim)
        bias = None if bias is None else like(bias, output)
        shares = [self.shares(like(w, a), bias) for w, a in zip(layer.weights, inputs, strict=True)]
        return quotients(layer, shares, inputs, output, relevance, self.empty)

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        self.require(layer)
        assert isinstance(layer, Linear)
        shares, unassigned = self.divided(layer, inputs, output, relevance)
        relevances = redistribute(layer, shares, inputs)
        return relevances, book(layer, shares, unassigned, inputs, relevance, relevances, self.flags(inputs))

    def relevances(self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array) -> tuple[Array, ...]:
        self.require(layer)
        assert isinstance(layer, Linear)
        return redistribute(layer, self.divided(layer, inputs, output, relevance)[0], inputs)
