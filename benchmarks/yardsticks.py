"""The libraries that figures are held against, each as a function that explains or predicts; None where one is not installed.

Zennit 0.5.1, Captum 0.9.0, PyTorch and ONNX Runtime, with the composites and rules that compute the same maps as ours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

import lrp_ref
from lrp_ref import layers as L

Work = Callable[[], np.ndarray]
MISSING: dict[str, str] = {}  # what could not be imported, and why: reported beside the figures


def stand_in_for_torchvision() -> None:
    """Zennit imports torchvision for the names of a few classes only; where it is missing, ours and empty ones do.

    A torchvision that was built for another PyTorch raises RuntimeError.
    """
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        from torch_networks import Bottleneck

        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]

        for name in ("torchvision", "torchvision.models", "torchvision.models.resnet", "torchvision.models.vgg"):
            sys.modules[name] = ModuleType(name)
        classes = {"Bottleneck": Bottleneck} | {name: type(name, (), {}) for name in ("BasicBlock", "ResNet", "VGG")}
        for name, found in classes.items():
            for module in ("torchvision.models.resnet", "torchvision.models.vgg"):
                setattr(sys.modules[module], name, found)


def have(*names: str) -> bool:
    """Whether these can be imported; what cannot is remembered."""
    for name in names:
        try:
            if name == "zennit":
                import torch  # noqa: F401

                stand_in_for_torchvision()
            __import__(name)
        except ImportError as error:
            MISSING[name] = str(error)
            return False
    return True


def torch_forward(model: lrp_ref.Model, x: np.ndarray, threads: int) -> Work | None:
    """PyTorch's prediction."""
    if not have("torch"):
        return None
    import torch
    from torch_networks import as_module

    torch.set_num_threads(threads)
    module, tensor = as_module(model), torch.from_numpy(x)

    def run() -> np.ndarray:
        with torch.no_grad():
            return module(tensor).numpy()

    return run


def zennit(model: lrp_ref.Model, x: np.ndarray, composite: str, targets: list[int], threads: int) -> Work | None:
    """Zennit under the composite of the same name; ResNets with its canoniser. The composite stays registered."""
    if not have("torch", "zennit"):
        return None
    import torch
    import torch_networks
    from zennit.attribution import Gradient
    from zennit.composites import EpsilonGammaBox, EpsilonPlus, EpsilonPlusFlat

    torch.set_num_threads(threads)
    residual = any(isinstance(node.layer, L.Add) for node in model.nodes)
    module = torch_networks.resnet(model) if residual else torch_networks.as_module(model)
    canonizers: list[Any] = []
    if residual:
        from zennit import torchvision

        torchvision.ResNetBottleneck = torch_networks.Bottleneck  # it looks for torchvision's class, where that is installed
        canonizers.append(torchvision.ResNetCanonizer())
    if composite == "epsilon_gamma_box":
        bounds = {"low": torch.full((1, 3, 1, 1), -2.0), "high": torch.full((1, 3, 1, 1), 2.0)}
        made = EpsilonGammaBox(**bounds, canonizers=canonizers)
    else:
        kinds = {"epsilon_plus": EpsilonPlus, "epsilon_plus_flat": EpsilonPlusFlat}
        made = kinds[composite](canonizers=canonizers)
    attributor = Gradient(module, made)
    attributor.__enter__()  # once, as the explainer is made once
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eps = 0.0  # the canoniser leaves it in: 53 merged norms would move the scores by 2e-3
    start = torch.eye(model(x[:1]).shape[1])[targets]

    def run() -> np.ndarray:
        tensor = torch.from_numpy(x).requires_grad_()
        return attributor(tensor, lambda output: output * start)[1].detach().numpy()

    return run


def captum(model: lrp_ref.Model, x: np.ndarray, targets: list[int], threads: int) -> Work | None:
    """Captum with the ε-rule (its ε of 1e-9) in every layer of a sequential network."""
    if not have("torch", "captum.attr"):
        return None
    import torch
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule
    from torch_networks import as_module

    torch.set_num_threads(threads)
    whole = as_module(model)
    flatten = next(i for i, module in enumerate(whole) if isinstance(module, torch.nn.Flatten))

    class Split(torch.nn.Module):
        """Captum has no rule for the Flatten module; as a function it needs none."""

        def __init__(self) -> None:
            super().__init__()
            self.below, self.above = whole[:flatten], whole[flatten + 1 :]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.above(self.below(x).flatten(1))

    for module in whole:
        if not isinstance(module, (torch.nn.ReLU, torch.nn.Flatten)):
            module.rule = EpsilonRule()
    method, chosen = LRP(Split()), torch.tensor(targets)

    def run() -> np.ndarray:
        return method.attribute(torch.from_numpy(x).requires_grad_(), target=chosen).detach().numpy()

    return run


def onnx_runtime(model: lrp_ref.Model, x: np.ndarray, threads: int) -> Work | None:
    """ONNX Runtime's prediction of a sequential network of convolutions, ReLUs, maximum pooling and dense layers."""
    if not have("onnx", "onnxruntime"):
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    data = as_onnx(model).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"input": x})[0]


def as_onnx(model: lrp_ref.Model) -> Any:
    """A sequential model as a ModelProto."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, last = [], [], "input"

    def stored(name: str, array: Any) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    for node in model.nodes:
        layer, reads, attributes = node.layer, [last], {}
        if isinstance(layer, (L.Conv, L.Dense)):
            reads += [stored(f"{node.name}.weight", layer.weight), stored(f"{node.name}.bias", layer.bias)]
        if isinstance(layer, L.Conv):
            (before, after), (left, right) = layer.padding
            attributes = {"kernel_shape": layer.weight.shape[2:], "pads": (before, left, after, right)}
        elif isinstance(layer, L.MaxPool):
            attributes = {"kernel_shape": (layer.kernel, layer.kernel), "strides": (layer.kernel, layer.kernel)}
        kind = {L.Conv: "Conv", L.Dense: "Gemm", L.ReLU: "Relu", L.MaxPool: "MaxPool", L.Flatten: "Flatten"}[type(layer)]
        nodes.append(helper.make_node(kind, reads, [node.name], **attributes))
        last = node.name
    (shape,) = model.input_shape.values()
    begin = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *shape])
    end = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", None])
    graph = helper.make_graph(nodes, "network", [begin], [end], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
