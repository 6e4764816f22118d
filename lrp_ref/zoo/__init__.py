"""Two small trained networks and ten digits that ship with the package. Nothing is read before it is asked for."""

from .catalogue import HeldOut, digits, load, names

__all__ = ["HeldOut", "digits", "load", "names"]
