"""A PyTorch network explained in two ways: in the same process, and from an ONNX file without PyTorch.

    pip install 'lrp_ref[torch]'
    python examples/pytorch_network.py

The network is a small residual one with random weights: what matters here is the way, not the answer.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import lrp_ref
from lrp_ref import composites, rules


class Block(nn.Module):
    """ReLU(x + two convolutions of x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One residual block."""
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


def main() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), Block(16), Block(16)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
    )
    images = torch.rand(4, 3, 32, 32)

    # In the same process: PyTorch exports in memory, the library reads.
    model = lrp_ref.formats.torch.load(module, images[:1])
    with torch.no_grad():
        expected = module.eval()(images).numpy()
    print(model)
    print(f"largest difference of the scores: {np.abs(model(images.numpy()) - expected).max():.1e}")
    composite = composites.epsilon_gamma_box(low=0.0, high=1.0, add=rules.ZPlus())
    e = lrp_ref.explain(model, images.numpy(), composite=composite, keep=["3.add"], ledger=True)
    print(f"explained classes {e.target}, relevance {e.relevance.shape}, at the last sum {e.at('3.add').shape}")
    print(f"flags: {e.ledger.flags if e.ledger is not None else ()}")

    # From a file: whoever has it needs NumPy and the onnx package, and of the .npz NumPy alone.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        batch = {0: torch.export.Dim.DYNAMIC}
        options = {"dynamo": True, "dynamic_shapes": (batch,), "external_data": False, "verbose": False}
        torch.onnx.export(module, (images,), path, **options)
        again = lrp_ref.load(path)
        lrp_ref.save(again, path.with_suffix(".npz"))
        assert (lrp_ref.load(path.with_suffix(".npz"))(images.numpy()) == again(images.numpy())).all()
        print(f"from the file: {np.abs(again(images.numpy()) - expected).max():.1e}")


if __name__ == "__main__":
    main()
