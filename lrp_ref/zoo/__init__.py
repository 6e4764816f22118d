"""Small trained networks, ten digits and some sentences that ship with the package. Nothing is read before it is asked for."""

from .catalogue import HeldOut, digits, load, names
from .text import Sentences, classes, sentences, vocabulary

__all__ = ["HeldOut", "Sentences", "classes", "digits", "load", "names", "sentences", "vocabulary"]
