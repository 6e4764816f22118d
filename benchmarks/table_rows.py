"""The rows of the table that are explanations and predictions of one network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import networks
import numpy as np
import yardsticks
from table_lines import FAILED, Found, Setting, Want, apart, side_by_side

import lrp_ref
from lrp_ref import rules

MOST_APART = 1e-2  # of |R| in L1: rounding and other choices of ε are far below it, another rule or a missing canoniser above
TURN = 0.2  # seconds that a turn of a small network takes


def _against(
    setting: Setting,
    work: str,
    model: lrp_ref.Model,
    x: np.ndarray,
    composite: str | None,
    ours: dict[str, str | None],
    wants: list[Want],
    rounds: int = 5,
    least: float = 0.0,
) -> Found:
    """Explanations under precisions of ours against Zennit, or, without a composite, under the ε-rule against Captum."""
    targets = [int(k) for k in model(x).argmax(axis=1)]
    rule = rules.Epsilon(1e-9) if composite is None else None
    contenders: dict[str, Callable[[], Any] | None] = {}
    for name, precision in ours.items():
        explainer = setting.explainer(model, composite, rule=rule, precision=precision)
        contenders[name] = lambda e=explainer: e(x, target=targets).relevance
    other = "Captum" if composite is None else "Zennit"
    if composite is None:
        contenders[other] = yardsticks.captum(model, x, targets, setting.threads)
    else:
        contenders[other] = yardsticks.zennit(model, x, composite, targets, setting.threads)
    if any(want.yardstick == "PyTorch forward" for want in wants):
        contenders["PyTorch forward"] = yardsticks.torch_forward(model, x, setting.threads)
    remarks, differs = [], False
    if contenders[other] is not None:
        theirs = contenders[other]()
        gaps = {name: apart(contenders[name](), theirs) for name in ours}
        remarks = [f"{name}: maps {gap:.1e} from {other}'s in L1" for name, gap in gaps.items()]
        differs = not max(gaps.values()) < MOST_APART
    found = side_by_side(setting, work, contenders, wants, rounds, least)
    if differs:  # what computes something else is no yardstick
        lines = tuple(replace(line, ratio="maps differ", figure=None) for line in found.lines)
        return Found(lines, (f"{FAILED}: {other} computes another map, so nothing is compared", *remarks, *found.remarks))
    return Found(found.lines, (*remarks, *found.remarks))


def _vgg(setting: Setting, sparse: bool) -> tuple[lrp_ref.Model, np.ndarray, str]:
    x = networks.smooth_image(setting.size)
    if not sparse:
        return networks.vgg16(size=setting.size), x, f"VGG-16 shape, {setting.size}², batch 1"
    model = networks.sparse_vgg16(setting.size)
    zeros = f"{networks.zeros_of(model, x):.0%} zero activations"
    return model, x, f"VGG-16 shape with {zeros}, batch 1"


def vgg16_fast(setting: Setting, sparse: bool = False) -> Found:
    """epsilon_gamma_box, `fast`, against Zennit and PyTorch's forward pass."""
    model, x, work = _vgg(setting, sparse)
    wants = [Want("Zennit", 10), Want("PyTorch forward", None, 1.0, more=False)]
    return _against(setting, f"{work}, epsilon_gamma_box, float32 `fast`", model, x, "epsilon_gamma_box", {"ours": "fast"}, wants)


def vgg16_float32(setting: Setting, sparse: bool = False) -> Found:
    """epsilon_gamma_box, float32, against Zennit."""
    model, x, work = _vgg(setting, sparse)
    name = f"{work}, epsilon_gamma_box, float32"
    return _against(setting, name, model, x, "epsilon_gamma_box", {"ours": None}, [Want("Zennit", 7, 8)])


def vgg16_float64(setting: Setting, sparse: bool = False) -> Found:
    """epsilon_gamma_box, float64, against Zennit in float32."""
    model, x, work = _vgg(setting, sparse)
    name = f"{work}, epsilon_gamma_box, float64 (Zennit: float32)"
    return _against(setting, name, model, x, "epsilon_gamma_box", {"ours": "float64"}, [Want("Zennit", 4, 5)])


def vgg16_flat(setting: Setting, batch: int = 1) -> Found:
    """epsilon_plus_flat, `fast`, against Zennit."""
    model, x = networks.vgg16(size=setting.size), networks.smooth_image(setting.size, batch)
    name = f"VGG-16 shape, {setting.size}², batch {batch}, epsilon_plus_flat, float32 `fast`"
    rounds = 5 if batch == 1 else 3
    return _against(setting, name, model, x, "epsilon_plus_flat", {"ours": "fast"}, [Want("Zennit", 5, 6)], rounds)


def vgg16_epsilon(setting: Setting) -> Found:
    """ε in every layer, `fast`, against Captum."""
    model, x, work = _vgg(setting, False)
    return _against(setting, f"{work}, ε everywhere, float32 `fast`", model, x, None, {"ours": "fast"}, [Want("Captum", 3, 4)])


def resnet50(setting: Setting) -> Found:
    """ResNet-50's shape with batch norms, epsilon_gamma_box, against Zennit with its canoniser."""
    model, x = networks.resnet50(size=setting.size), networks.smooth_image(setting.size)
    wants = [Want("Zennit", 5, 8), Want("Zennit", 5, 8, ours="`fast`")]
    name = f"ResNet-50 shape with batch norm, {setting.size}², batch 1, epsilon_gamma_box, float32"
    return _against(setting, name, model, x, "epsilon_gamma_box", {"ours": None, "`fast`": "fast"}, wants)


def squeezenet(setting: Setting) -> Found:
    """SqueezeNet from its file, epsilon_plus, against Zennit."""
    if setting.squeezenet is None:
        return Found((), ("SqueezeNet: give its file with --squeezenet",))
    model = lrp_ref.load(setting.squeezenet)
    x = 60 * networks.smooth_image(227)
    wants = [Want("Zennit", 5), Want("Zennit", 5, ours="`fast`")]
    name, ours = "SqueezeNet, batch 1, epsilon_plus, float32", {"ours": None, "`fast`": "fast"}
    return _against(setting, name, model, x, "epsilon_plus", ours, wants, rounds=9, least=TURN)


def lenet5(setting: Setting, batch: int = 1) -> Found:
    """LeNet-5's shape, ε, against Captum."""
    x = np.random.default_rng(1).standard_normal((batch, 1, 28, 28)).astype(np.float32)
    name = f"LeNet-5 shape, ε, batch {batch}, float32"
    return _against(setting, name, networks.lenet5(), x, None, {"ours": None}, [Want("Captum", 4, 10)], rounds=9, least=TURN)


def prediction(setting: Setting) -> Found:
    """The prediction alone, VGG-16, `fast`, against PyTorch and ONNX Runtime."""
    model, x, work = _vgg(setting, False)
    predictor = lrp_ref.Predictor(model, setting.backend, "fast", setting.threads)
    contenders = {
        "ours": lambda: predictor(x),
        "PyTorch": yardsticks.torch_forward(model, x, setting.threads),
        "ONNX Runtime": yardsticks.onnx_runtime(model, x, setting.threads),
    }
    wants = [Want("PyTorch", 1.0, 0.8, more=False), Want("ONNX Runtime", 1.1, 0.8, more=False)]
    found = side_by_side(setting, f"{work}, prediction alone, float32 `fast`", contenders, wants, rounds=9)
    largest = np.abs(model(x)).max()
    gap = np.abs(contenders["ours"]() - model(x)).max() / largest
    return Found(found.lines, (*found.remarks, f"scores {gap:.1e} of the largest from the reference's"))


ROWS: dict[str, Callable[[Setting], Found]] = {
    "vgg16-fast": vgg16_fast,
    "vgg16-float32": vgg16_float32,
    "vgg16-float64": vgg16_float64,
    "vgg16-flat": vgg16_flat,
    "vgg16-flat-8": lambda setting: vgg16_flat(setting, 8),
    "vgg16-epsilon": vgg16_epsilon,
    "resnet50": resnet50,
    "squeezenet": squeezenet,
    "lenet": lenet5,
    "lenet-256": lambda setting: lenet5(setting, 256),
    "prediction": prediction,
    "sparse-fast": lambda setting: vgg16_fast(setting, sparse=True),
    "sparse-float32": lambda setting: vgg16_float32(setting, sparse=True),
    "sparse-float64": lambda setting: vgg16_float64(setting, sparse=True),
}
