"""Other ways to explain a network than LRP, on the same engine, with the same call: `methods.X(model, …)(x, target=…)`.

>>> import lrp_ref
>>> from lrp_ref import layers as L, methods
>>> model = lrp_ref.Model.sequential([L.Dense([[1.0, -1.0], [2.0, 1.0]]), L.ReLU(), L.Dense([[1.0], [1.0]])])
>>> methods.GradientTimesInput(model)([[1.0, 2.0]]).relevance
array([[0., 6.]])

Each class says its formula, its source, what it needs, what its relevances add up to and what it costs; `METHODS` is the table
of them that `lrp-ref methods` prints.
"""

from __future__ import annotations

from ..errors import unknown
from ..propagate.method import Method
from .activations import CAM, GradCAM, GuidedGradCAM
from .base import Cost, ModelMethod
from .contextual import ContextualDecomposition
from .deep_lift import DeepLift
from .function import as_function
from .games import Shapley, ShapleyValues
from .gradients import Gradient, GradientTimesInput, Sensitivity
from .lime import Lime, superpixels
from .meaningful import MeaningfulPerturbation
from .mutations import Insertion, Mutation
from .occlusion import Occlusion
from .paths import IntegratedGradients
from .patterns import ActivationPattern
from .prediction_difference import PredictionDifference
from .replacements import Blur, Deletion, Noise, Replacement, Value, data_mean
from .rise import RISE
from .signal_patterns import PatternAttribution, PatternNet, Patterns
from .signals import Deconvnet, ExcitationBackprop, GuidedBackprop
from .smooth import SmoothGrad
from .taylor import SimpleTaylor

__all__ = [
    "CAM",
    "METHODS",
    "RISE",
    "ActivationPattern",
    "Blur",
    "ContextualDecomposition",
    "Cost",
    "Deconvnet",
    "DeepLift",
    "Deletion",
    "ExcitationBackprop",
    "GradCAM",
    "Gradient",
    "GradientTimesInput",
    "GuidedBackprop",
    "GuidedGradCAM",
    "Insertion",
    "IntegratedGradients",
    "Lime",
    "MeaningfulPerturbation",
    "Method",
    "ModelMethod",
    "Mutation",
    "Noise",
    "Occlusion",
    "PatternAttribution",
    "PatternNet",
    "Patterns",
    "PredictionDifference",
    "Replacement",
    "Sensitivity",
    "Shapley",
    "ShapleyValues",
    "SimpleTaylor",
    "SmoothGrad",
    "Value",
    "as_function",
    "data_mean",
    "method_named",
    "superpixels",
]

#: The methods by name, in the order of their families.
METHODS: dict[str, type[ModelMethod]] = {
    kind.__name__: kind
    for kind in (
        Gradient,
        Sensitivity,
        GradientTimesInput,
        SimpleTaylor,
        IntegratedGradients,
        SmoothGrad,
        Deconvnet,
        GuidedBackprop,
        ExcitationBackprop,
        PatternNet,
        PatternAttribution,
        Occlusion,
        PredictionDifference,
        RISE,
        MeaningfulPerturbation,
        CAM,
        GradCAM,
        GuidedGradCAM,
        DeepLift,
        ContextualDecomposition,
        Shapley,
        Lime,
        ActivationPattern,
        Insertion,
        Mutation,
    )
}


def method_named(name: str) -> type[ModelMethod]:
    """The method of a name; case, "-" and "_" do not matter: "gradient-times-input".

    Parameters
    ----------
    name : of a class

    Raises
    ------
    UnknownNameError
        Where there is none.
    """
    plain = name.replace("-", "").replace("_", "").lower()
    for known, kind in METHODS.items():
        if known.lower() == plain:
            return kind
    raise unknown("method", name, METHODS)
