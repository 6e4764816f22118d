"""What a network computes: frozen records with a pure `forward`. Layers know no rules.

Layers that few networks have are imported when they are asked for: importing lrp_ref must stay cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .activations import GELU, Activation, LeakyReLU, LogSigmoid, LogSoftmax, ReLU, Sigmoid, Softmax, Softplus, Tanh
from .base import Layer, Linear, Recurrent
from .conv import Conv, ConvTranspose
from .linear import Add, Dense, Mean, Scale, StackedDense, Subtract
from .merge import Concat, Multiply
from .normalization import BatchNorm
from .norms import LRN, GroupNorm, InstanceNorm, LayerNorm
from .pooling import AvgPool, GlobalAvgPool, GlobalMaxPool, GlobalSumPool, MaxPool, Selecting, SumPool
from .shape import Dropout, Flatten, Identity, Pad, Rearrangement, Reshape, Transpose, Upsample

if TYPE_CHECKING:
    from .adaptive import AdaptiveAvgPool, AdaptiveMaxPool
    from .blocks import Attach, DepthToSpace, SpaceToDepth
    from .elementwise import CELU, ELU, SELU, Abs, Clip, HardSigmoid, HardSwish, Mish, PReLU, Shrink, SiLU, Softsign, Threshold
    from .functions import Divide, Embedding, Erf, Exp, Log, Maximum, Minimum, Pow, Power, Reciprocal, Sign, Sqrt
    from .indexing import Expand, Gather, PadWith, Slice, Tile
    from .lengths import LpNorm, MinMaxNorm, RMSNorm
    from .matmul import MatMul
    from .recurrent import GRU, LSTM, RNN
    from .reductions import GlobalLpPool, LpPool, ReduceMax, Sum
    from .resize import Resize
    from .selection import Compare, Where

_LATER = {
    "adaptive": ("AdaptiveAvgPool", "AdaptiveMaxPool"),
    "blocks": ("Attach", "DepthToSpace", "SpaceToDepth"),
    "elementwise": (
        *("CELU", "ELU", "SELU", "Abs", "Clip", "HardSigmoid", "HardSwish", "Mish", "PReLU", "Shrink", "SiLU", "Softsign"),
        "Threshold",
    ),
    "functions": (
        "Divide",
        "Embedding",
        "Erf",
        "Exp",
        "Log",
        "Maximum",
        "Minimum",
        "Pow",
        "Power",
        "Reciprocal",
        "Sign",
        "Sqrt",
    ),
    "indexing": ("Expand", "Gather", "PadWith", "Slice", "Tile"),
    "lengths": ("LpNorm", "MinMaxNorm", "RMSNorm"),
    "matmul": ("MatMul",),
    "recurrent": ("GRU", "LSTM", "RNN"),
    "reductions": ("GlobalLpPool", "LpPool", "ReduceMax", "Sum"),
    "resize": ("Resize",),
    "selection": ("Compare", "Where"),
}

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GRU",
    "LRN",
    "LSTM",
    "RNN",
    "SELU",
    "Abs",
    "Activation",
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "Add",
    "Attach",
    "AvgPool",
    "BatchNorm",
    "Clip",
    "Compare",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Dense",
    "DepthToSpace",
    "Divide",
    "Dropout",
    "Embedding",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Gather",
    "GlobalAvgPool",
    "GlobalLpPool",
    "GlobalMaxPool",
    "GlobalSumPool",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "Log",
    "LogSigmoid",
    "LogSoftmax",
    "LpNorm",
    "LpPool",
    "MatMul",
    "MaxPool",
    "Maximum",
    "Mean",
    "MinMaxNorm",
    "Minimum",
    "Mish",
    "Multiply",
    "PReLU",
    "Pad",
    "PadWith",
    "Pow",
    "Power",
    "RMSNorm",
    "ReLU",
    "Rearrangement",
    "Reciprocal",
    "Recurrent",
    "ReduceMax",
    "Reshape",
    "Resize",
    "Scale",
    "Selecting",
    "Shrink",
    "SiLU",
    "Sigmoid",
    "Sign",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpaceToDepth",
    "Sqrt",
    "StackedDense",
    "Subtract",
    "Sum",
    "SumPool",
    "Tanh",
    "Threshold",
    "Tile",
    "Transpose",
    "Upsample",
    "Where",
]


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            found = getattr(import_module(f".{module}", __name__), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
