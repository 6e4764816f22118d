"""The operators that are read: one function for each, listed by the versions of the schema that it was written for.

An operator that a newer ONNX changes is not read by a function that was written for the older one: it is refused by name until
someone has looked at the change and listed its version.
"""

from __future__ import annotations

from ..constant_folding import FOLDS
from ..registry import Operator
from . import (
    activations,
    arithmetic,
    comparisons,
    einsum,
    linear,
    ml_domain,
    quantisation,
    recurrent,
    reductions,
    resizing,
    scatter,
    shapes,
    windows,
)

OPERATORS: dict[tuple[str, int], Operator] = {
    **activations.TABLE,
    **arithmetic.TABLE,
    **comparisons.TABLE,
    **einsum.TABLE,
    **ml_domain.TABLE,
    **linear.TABLE,
    **quantisation.TABLE,
    **recurrent.TABLE,
    **reductions.TABLE,
    **resizing.TABLE,
    **scatter.TABLE,
    **shapes.TABLE,
    **windows.TABLE,
}

#: Operators that may stand between constants only, and serve no signal.
FOLDED = frozenset(FOLDS) - {op for op, _ in OPERATORS}

#: What would help where an operator is not read.
HINTS: dict[str, str] = {
    **ml_domain.REFUSED,
    **dict.fromkeys(("If", "Loop", "Scan"), "export the network without control flow, for fixed choices"),
    "Loop": "export the network without control flow; from_arrays takes the weights of a GRU or an RNN that is one",
    **dict.fromkeys(
        (
            "QLinearConv",
            "QLinearMatMul",
            "ConvInteger",
            "MatMulInteger",
            "DynamicQuantizeLinear",
        ),
        "export the network before quantisation",
    ),
    **dict.fromkeys(
        ("DFT", "STFT"),
        "a spectrum's magnitude is no function of each element: compute the spectrogram first, and explain from its magnitudes",
    ),
    "Attention": "export the network with its matrix products written out",
}
FOREIGN = (
    "the operator belongs to a runtime or a framework: export the network without its optimisations, in ONNX's own operators"
)
OTHERS = "end the model before it with outputs=, or export the network in other operators"
