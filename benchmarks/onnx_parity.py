"""Predictions in float32 against ONNX Runtime, and both against our float64, on whole networks.

    python benchmarks/onnx_parity.py [network.onnx …]

A network passes where we are within 1e-5 of the largest value, or within twice ONNX Runtime's own distance from float64.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import onnx  # noqa: E402
import onnxruntime  # noqa: E402

from lrp_ref.formats import onnx as reader  # noqa: E402
from support import onnx_networks  # noqa: E402


def light() -> dict[str, Path]:
    folder = Path(onnx.__file__).parent / "backend/test/data/light"
    return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


def runtime(data: bytes, x: np.ndarray, output: str) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run([output], {session.get_inputs()[0].name: x})[0]


def compared(data: bytes, batch: int = 1) -> dict[str, Any]:
    start = time.perf_counter()
    model = reader.load(data)
    loaded = time.perf_counter() - start
    (shape,) = model.input_shape.values()
    x = np.random.default_rng(7).normal(size=(batch, *shape)).astype(np.float32)
    start = time.perf_counter()
    ours = model(x)
    ran = time.perf_counter() - start
    theirs = runtime(data, x, model.outputs[0])
    exact = model.astype(np.float64)(x.astype(np.float64))
    largest = float(np.abs(exact).max())
    own, other, between = (float(np.abs(a - b).max()) / largest for a, b in ((ours, exact), (theirs, exact), (ours, theirs)))
    return {
        "nodes": len(model.nodes),
        "load": loaded,
        "run": ran,
        "between": between,
        "ours": own,
        "theirs": other,
        "fine": bool(between <= max(1e-5, 2 * other)),
    }


def main(arguments: list[str]) -> int:
    sources: dict[str, bytes] = {Path(a).stem: Path(a).read_bytes() for a in arguments}
    sources |= {name: make().SerializeToString() for name, make in onnx_networks.NETWORKS.items()}
    sources |= {name: path.read_bytes() for name, path in light().items()}
    print(f"{'network':<22}{'nodes':>6}{'load s':>8}{'run s':>8}{'to runtime':>12}{'ours to f64':>13}{'theirs':>10}")
    failed = 0
    for name, data in sources.items():
        found = compared(data)
        failed += not found["fine"]
        numbers = f"{found['between']:>12.1e}{found['ours']:>13.1e}{found['theirs']:>10.1e}"
        times = f"{found['nodes']:>6}{found['load']:>8.2f}{found['run']:>8.2f}"
        print(f"{name:<22}{times}{numbers}  {'' if found['fine'] else 'TOO FAR'}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
