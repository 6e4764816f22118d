"""Occlusion of a 224² image by patches of 28 pixels through SqueezeNet's shape: side by side with Captum.

    python benchmarks/occlusion.py [--threads 2] [--rounds 5] [--patch 28] [--batches 1 8 64]

Both predict the 64 occluded images; Captum in batches of 1 (its default), 8 and 64, and the fastest of them is what counts.
"""

from __future__ import annotations

import argparse
import os
from functools import partial

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")  # before NumPy is loaded

import numpy as np
from networks import smooth_image, squeezenet
from timing import alternate, machine, report

from lrp_ref import methods

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--patch", type=int, default=28)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 64], help="of Captum")
options = parser.parse_args()

model, x = squeezenet(size=options.size), smooth_image(options.size)
target = int(model(x).argmax())
contenders = {}
for batch in (None, 8):
    method = methods.Occlusion(model, options.patch, batch=batch, threads=options.threads)
    contenders[f"lrp_ref, batch {batch}"] = partial(method, x, target)
yardsticks = []
try:
    import torch
    from captum.attr import Occlusion
    from torch_networks import as_module
except ImportError as error:
    print(f"Captum is left out: {error}")
else:
    torch.set_num_threads(options.threads)
    occlusion, window = Occlusion(as_module(model)), (3, options.patch, options.patch)

    def captum(batch: int) -> np.ndarray:
        with torch.no_grad():
            found = occlusion.attribute(
                torch.tensor(x), sliding_window_shapes=window, strides=window, target=target, perturbations_per_eval=batch
            )
        return found.numpy()

    difference = abs(captum(8) - methods.Occlusion(model, options.patch)(x, target).relevance).max()
    print(f"largest difference of the maps: {difference:.1e}, of a largest value of {abs(captum(8)).max():.1e}")
    contenders |= {f"Captum, batch {batch}": partial(captum, batch) for batch in options.batches}
    yardsticks = [("lrp_ref, batch None", f"Captum, batch {batch}") for batch in options.batches]
print(machine("torch", "captum"))
report(alternate(contenders, options.rounds), yardsticks)
