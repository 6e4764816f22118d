"""10 000 handwritten digits through the embedded network under epsilon_plus: cost per image at batch 1 and in one batch.

python benchmarks/digits.py --threads 2
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--images", type=int, default=10_000)
options = parser.parse_args()
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = str(options.threads)  # before NumPy is loaded
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import numpy as np  # noqa: E402
from timing import alternate, machine, report  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import zoo  # noqa: E402

print(machine(), f"{options.threads} thread(s)")
images = zoo.digits().images
batch = np.resize(images, (options.images, *images.shape[1:]))
for network in (name for name in zoo.names() if name.startswith("digits")):
    model = zoo.load(network)
    contenders = {"prediction, one batch": lambda model=model: model(batch)}
    for backend in lrp_ref.BACKENDS:
        explainer = lrp_ref.Explainer(model, "epsilon_plus", backend=backend)
        contenders[f"{backend}, one batch"] = lambda e=explainer: e(batch)
        contenders[f"{backend}, 100 × batch 1"] = lambda e=explainer: [e(batch[i : i + 1]) for i in range(100)]
    found = alternate(contenders, options.rounds)
    print(f"\n{network}: {options.images} images")
    report(found, [("reference, one batch", "numpy, one batch")])
    for backend in lrp_ref.BACKENDS:
        ratio = found[f"{backend}, one batch"][1] / options.images / (found[f"{backend}, 100 × batch 1"][1] / 100)
        print(f"{backend}: an image in the batch costs {ratio:.2f} of one alone")
