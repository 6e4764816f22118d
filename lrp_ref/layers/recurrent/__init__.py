"""Layers that run over time: LSTM, GRU, RNN. Sequences are (N, T, features)."""

from .gru import GRU
from .lstm import LSTM
from .rnn import RNN

__all__ = ["GRU", "LSTM", "RNN"]
