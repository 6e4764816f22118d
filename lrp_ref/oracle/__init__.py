"""The exact oracle: each rule's literal definition in rationals, one neuron at a time.

A second implementation, written from the papers' formulas. It shares no code with the engine and serves to prove it, to
give other implementations numbers to test against, and to show a reader what a rule does (`explain_neuron`).
"""

from .account import Account, Messages, Pool, Upper
from .messages import messages
from .neuron import NeuronTable, explain_neuron

__all__ = ["Account", "Messages", "NeuronTable", "Pool", "Upper", "explain_neuron", "messages"]
