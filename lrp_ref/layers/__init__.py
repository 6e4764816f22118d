"""What a network computes: frozen records with a pure `forward`. Layers know no rules.

A layer is imported when it is asked for: importing lrp_ref must stay cheap, and few networks have many kinds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activations import *  # noqa: F403
    from .adaptive import *  # noqa: F403
    from .base import *  # noqa: F403
    from .conv import *  # noqa: F403
    from .depth_to_space import *  # noqa: F403
    from .elementwise import *  # noqa: F403
    from .functions import *  # noqa: F403
    from .indexing import *  # noqa: F403
    from .lengths import *  # noqa: F403
    from .linear import *  # noqa: F403
    from .matmul import *  # noqa: F403
    from .merge import *  # noqa: F403
    from .normalization import *  # noqa: F403
    from .norms import *  # noqa: F403
    from .pooling import *  # noqa: F403
    from .recurrent import *  # noqa: F403
    from .reductions import *  # noqa: F403
    from .resize import *  # noqa: F403
    from .selection import *  # noqa: F403
    from .shape import *  # noqa: F403

#: The layers, by the module that each is in.
_LAYERS = {
    "activations": "Activation GELU LeakyReLU LogSigmoid LogSoftmax ReLU Sigmoid Softmax Softplus Tanh",
    "adaptive": "AdaptiveAvgPool AdaptiveMaxPool",
    "base": "Layer Linear Recurrent",
    "conv": "Conv ConvTranspose",
    "depth_to_space": "Attach DepthToSpace SpaceToDepth",
    "elementwise": "Abs CELU Clip ELU HardSigmoid HardSwish Mish PReLU SELU Shrink SiLU Softsign Threshold",
    "functions": "Divide Embedding Erf Exp Log Maximum Minimum Pow Power Reciprocal Sign Sqrt",
    "indexing": "Expand Gather PadWith Slice Tile",
    "lengths": "LpNorm MinMaxNorm RMSNorm",
    "linear": "Add Dense Mean Scale StackedDense Subtract",
    "matmul": "MatMul",
    "merge": "Concat Multiply",
    "normalization": "BatchNorm",
    "norms": "GroupNorm InstanceNorm LRN LayerNorm",
    "pooling": "AvgPool GlobalAvgPool GlobalMaxPool GlobalSumPool MaxPool Selecting SumPool",
    "recurrent": "GRU LSTM RNN",
    "reductions": "GlobalLpPool LpPool ReduceMax Sum",
    "resize": "Resize",
    "selection": "Compare Where",
    "shape": "Dropout Flatten Identity Pad Rearrangement Reshape Transpose Upsample",
}
_MODULES = {name: module for module, names in _LAYERS.items() for name in names.split()}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    layer = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = layer
    return layer


def __dir__() -> list[str]:
    return sorted(__all__)
