"""VGG-16's shape, batch 1: prediction against PyTorch, explanation against Zennit.

    python benchmarks/vgg16.py --threads 2 --rounds 5
    python benchmarks/vgg16.py --only forward --size 96

The yardsticks (torch, zennit==0.5.1) are installed by hand; what is missing is left out, and said so.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--only", choices=("forward", "explain"), default=None)
parser.add_argument("--composite", default="epsilon_gamma_box", choices=("epsilon_gamma_box", "epsilon_plus"))
parser.add_argument("--reference", action="store_true", help="explain with the reference backend too")
options = parser.parse_args()
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(options.threads)  # before NumPy is loaded
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import numpy as np  # noqa: E402
from networks import smooth_image, vgg16  # noqa: E402
from timing import alternate, machine, report  # noqa: E402

import lrp_ref  # noqa: E402

model = vgg16(size=options.size)
x = smooth_image(options.size)
print(machine("torch", "zennit"), f"{options.threads} thread(s)")
target = int(model(x).argmax())

try:
    import torch
    from torch_networks import as_module
    from yardsticks import stand_in_for_torchvision
except ImportError:
    torch = None
    print("torch is not installed: no yardstick")

if options.only in (None, "forward"):
    contenders = {"reference": lambda: model(x)}
    fast = {name: lrp_ref.Predictor(model, name, threads=options.threads) for name in lrp_ref.BACKENDS if name != "reference"}
    contenders |= {name: partial(predictor, x) for name, predictor in fast.items()}
    if torch is not None:
        torch.set_num_threads(options.threads)
        module, tensor = as_module(model), torch.from_numpy(x)

        def torch_forward() -> object:
            with torch.no_grad():
                return module(tensor)

        contenders["torch"] = torch_forward
        assert np.abs(torch_forward().numpy() - model(x)).max() < 1e-3
    print("\nprediction")
    report(alternate(contenders, options.rounds), [("numpy", "torch"), ("reference", "torch")])

if options.only in (None, "explain"):
    backends = [b for b in lrp_ref.BACKENDS if b != "reference" or options.reference or len(lrp_ref.BACKENDS) == 1]
    made = {b: lrp_ref.Explainer(model, options.composite, backend=b) for b in backends}
    contenders = {b: (lambda e=e: e(x, target=target)) for b, e in made.items()}
    if torch is not None:
        torch.set_num_threads(options.threads)
        module = as_module(model)
        try:
            stand_in_for_torchvision()
            from zennit.attribution import Gradient
            from zennit.composites import EpsilonGammaBox, EpsilonPlus

            if options.composite == "epsilon_gamma_box":
                composite = EpsilonGammaBox(low=torch.full((1, 3, 1, 1), -2.0), high=torch.full((1, 3, 1, 1), 2.0))
            else:
                composite = EpsilonPlus()
            attributor = Gradient(module, composite)

            def zennit_explain() -> object:
                tensor = torch.from_numpy(x).requires_grad_()
                return attributor(tensor, lambda out: out * torch.eye(1000)[[target]])[1]

            contenders["zennit"] = zennit_explain
            attributor.__enter__()
            theirs = zennit_explain().detach().numpy()
            ours = made[backends[-1]](x, target=target).relevance
            print(f"\nmaps: L1 distance {np.abs(ours - theirs).sum() / np.abs(theirs).sum():.2e} of zennit's")
        except ImportError:
            print("zennit is not installed: no yardstick")
    print(f"\n{options.composite}")
    report(alternate(contenders, options.rounds), [("zennit", b) for b in backends])
