"""Torchvision's own definitions through ONNX: predictions beside ONNX Runtime, and an explanation of each.

    python benchmarks/torchvision_networks.py
    python benchmarks/torchvision_networks.py resnet50 vgg16 --exporter torchscript

Weights are random (nothing is downloaded); batch norms get the statistics of one batch of noise, so that activations neither
vanish nor explode. Each network is exported in memory, predicted in float32 by ONNX Runtime and by us (a network passes as in
`onnx_parity.py`), and explained under `epsilon_gamma_box` with a ledger. Needs torch, torchvision, onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402

try:
    import torch
    import torchvision
except ImportError:
    sys.exit("NOTHING WAS MEASURED: torchvision is not installed (pip install torch torchvision onnx onnxruntime onnxscript)")

from onnx_parity import compared  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import composites  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402
from support.fans import outside_the_bound  # noqa: E402

#: The least sizes that the definitions take, or those at which their adaptive pooling has windows of one size.
SIZES = {
    "alexnet": 224,
    "convnext_tiny": 96,
    "densenet121": 96,
    "efficientnet_b0": 96,
    "googlenet": 96,
    "inception_v3": 107,
    "mnasnet1_0": 96,
    "mobilenet_v2": 96,
    "mobilenet_v3_large": 96,
    "regnet_y_400mf": 96,
    "resnet50": 96,
    "resnext50_32x4d": 96,
    "shufflenet_v2_x1_0": 96,
    "squeezenet1_1": 96,
    "vgg16": 224,
}
LOW, HIGH = -2.5, 2.5


def made(name: str, size: int) -> torch.nn.Module:
    """The definition with random weights, in evaluation mode."""
    torch.manual_seed(0)
    options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    module = torchvision.models.get_model(name, weights=None, **options).eval()
    norms = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        module(torch.randn(4, 3, size, size).clamp(LOW, HIGH))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return module.eval()


def exported(module: torch.nn.Module, size: int, exporter: str) -> bytes:
    """The module as the bytes of an ONNX file whose batch is open."""
    example, file = torch.randn(2, 3, size, size), io.BytesIO()
    if exporter == "dynamo":
        batch = ({0: torch.export.Dim.DYNAMIC},)
        program = torch.onnx.export(module, (example,), dynamo=True, dynamic_shapes=batch, verbose=False)
        return bytes(program.model_proto.SerializeToString())
    axes = {"image": {0: "N"}}
    torch.onnx.export(module, (example,), file, dynamo=False, input_names=["image"], dynamic_axes=axes)
    return file.getvalue()


def explained(data: bytes, size: int) -> dict[str, Any]:
    """One explanation with its ledger, and what is wrong with it."""
    model = reader.load(data)
    x = np.clip(np.random.default_rng(7).normal(size=(1, 3, size, size)), LOW, HIGH).astype(np.float32)
    explainer = lrp_ref.Explainer(model, composites.epsilon_gamma_box(low=LOW, high=HIGH), ledger=True)
    begun = time.perf_counter()
    e = explainer(x)
    took = time.perf_counter() - begun
    assert e.ledger is not None
    return {
        "time": took,
        "finite": bool(np.isfinite(e.relevance).all() and np.abs(e.relevance).max() > 0),
        "open": outside_the_bound(e, explainer.plan({model.inputs[0]: x.shape[1:]})),
        "kept": float(e.total[0] / e.value[0]),
        "flags": e.ledger.flags,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(SIZES), help="of torchvision.models")
    parser.add_argument("--exporter", default="dynamo", choices=("dynamo", "torchscript"))
    parser.add_argument("--size", type=int, default=None)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # exporters warn of PyTorch's own deprecations
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    print(f"PyTorch {torch.__version__}, torchvision {torchvision.__version__}, exporter {options.exporter}")
    heads = f"{'to runtime':>12}{'ours to f64':>13}{'theirs':>10}{'explained':>11}{'ΣR/score':>10}"
    print(f"{'network':<20}{'size':>5}{'nodes':>6}{heads}")
    failed = 0
    for name in options.names:
        size = options.size or SIZES.get(name, 224)
        try:
            data = exported(made(name, size), size, options.exporter)
            found = compared(data)
            why = explained(data, size)
        except lrp_ref.errors.LrpError as error:
            failed += 1
            print(f"{name:<20}{size:>5}  REFUSED: {error}", flush=True)
            continue
        fine = found["fine"] and why["finite"] and not why["open"]
        failed += not fine
        numbers = f"{found['between']:>12.1e}{found['ours']:>13.1e}{found['theirs']:>10.1e}"
        shown = f"{numbers}{why['time']:>9.1f} s{why['kept']:>10.3g}"
        print(f"{name:<20}{size:>5}{found['nodes']:>6}{shown}  {'' if fine else 'WRONG'}", flush=True)
        passed = [flag for flag in why["flags"] if "passes on" in flag]  # a line for each batch norm that cannot be folded
        for line in (*why["open"], *(flag for flag in why["flags"] if flag not in passed)):
            print(f"    {line}")
        if passed:
            print(f"    {len(passed)} nodes pass on what LRP-0 would have left in the bias")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
