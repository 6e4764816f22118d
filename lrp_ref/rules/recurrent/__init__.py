"""Relevance through time: the rule of recurrent layers, what it does in one step of a cell, and the pass back over the steps."""

from .rule import ThroughTime

__all__ = ["ThroughTime"]
