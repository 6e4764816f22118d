"""What a network computes: frozen records with a pure `forward`. Layers know no rules."""

from .activations import GELU, Activation, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Softplus, Tanh
from .base import Layer, Linear
from .conv import Conv, ConvTranspose
from .linear import Add, Dense, Mean, Scale, Subtract
from .merge import Concat, Multiply
from .normalization import BatchNorm
from .pooling import AvgPool, GlobalAvgPool, GlobalMaxPool, GlobalSumPool, MaxPool, Selecting, SumPool
from .shape import Dropout, Flatten, Identity, Pad, Rearrangement, Reshape, Transpose, Upsample

__all__ = [
    "GELU",
    "Activation",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GlobalSumPool",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MaxPool",
    "Mean",
    "Multiply",
    "Pad",
    "ReLU",
    "Rearrangement",
    "Reshape",
    "Scale",
    "Selecting",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Subtract",
    "SumPool",
    "Tanh",
    "Transpose",
    "Upsample",
]
