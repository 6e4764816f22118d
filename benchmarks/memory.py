"""Peak memory of one explanation of VGG-16's shape at batch 1, each case in a process of its own.

    python benchmarks/memory.py --size 224
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--composite", default="epsilon_gamma_box")
parser.add_argument("--case", default=None, help=argparse.SUPPRESS)
options = parser.parse_args()
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

if options.case is None:
    for case in ("weights", "prediction", "numpy", "reference"):
        arguments = ["--size", str(options.size), "--composite", options.composite, "--case", case]
        subprocess.run([sys.executable, __file__, *arguments], check=True)
    sys.exit()

from networks import smooth_image, vgg16  # noqa: E402
from timing import forget_peak, peak_megabytes  # noqa: E402

import lrp_ref  # noqa: E402

model = vgg16(size=options.size)
x = smooth_image(options.size)
weights = sum(a.nbytes for node in model.nodes for a in node.layer.parameters.values()) / 2**20
estimate = 0.0
forget_peak()
if options.case == "prediction":
    model(x)
elif options.case in lrp_ref.BACKENDS:
    explainer = lrp_ref.Explainer(model, options.composite, backend=options.case)
    explainer(x)
    estimate = explainer.memory(x.shape) / 2**20
print(f"{options.case:10} peak {peak_megabytes():7.0f} MB, of which weights {weights:.0f} MB; memory() estimates {estimate:.0f} MB beside them")
