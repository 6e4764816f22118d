"""Peak memory of one explanation of VGG-16's shape at batch 1, each case in a process of its own.

The cases "file", "mapped" and "onnx" load the network from an uncompressed .npz, or from an ONNX file, first; their peaks are
those of the whole process.

    python benchmarks/memory.py --size 224
    python benchmarks/memory.py --only save file mapped onnx
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--composite", default="epsilon_gamma_box")
parser.add_argument("--only", nargs="*", default=None, help="these cases alone")
parser.add_argument("--case", default=None, help=argparse.SUPPRESS)
parser.add_argument("--json", action="store_true")
parser.add_argument("--folder", default=None, help=argparse.SUPPRESS)
options = parser.parse_args()
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

CASES = ("numpy", "compiled", "compiled-low", "zennit")
FILES = ("file", "mapped", "onnx")
MISSING = 77  # what a case ends with that needs what is not installed

if options.case is None:
    with tempfile.TemporaryDirectory() as folder:
        for case in options.only or ("weights", "prediction", *CASES, "reference", "save", *FILES):
            arguments = ["--size", str(options.size), "--composite", options.composite, "--case", case, "--folder", folder]
            done = subprocess.run([sys.executable, __file__, *arguments], check=False)
            if done.returncode not in (0, MISSING):
                sys.exit(done.returncode)
    sys.exit()

from networks import smooth_image, vgg16  # noqa: E402
from timing import forget_peak, peak_megabytes  # noqa: E402
from yardsticks import as_onnx, have  # noqa: E402

import lrp_ref  # noqa: E402

path = Path(options.folder) / "vgg16.npz" if options.folder else None
if options.case == "onnx" and not have("onnx"):
    print("onnx is not installed: loading an ONNX file was NOT measured")
    sys.exit(MISSING)
if options.case in FILES:  # nothing of the model was in this process before
    forget_peak()
    if options.case == "onnx":
        model = replace(lrp_ref.load(path.with_suffix(".onnx")), domain=(-2.0, 2.0))
    else:
        model = lrp_ref.load(path, mmap=options.case == "mapped")
    loading = peak_megabytes()
else:
    model = vgg16(size=options.size)
x = smooth_image(options.size)
weights = sum(a.nbytes for node in model.nodes for a in node.layer.parameters.values()) / 2**20
estimate = 0.0
if options.case not in FILES:
    forget_peak()
if options.case == "save":
    lrp_ref.save(model, path, compress=False)
    if have("onnx"):
        path.with_suffix(".onnx").write_bytes(as_onnx(model).SerializeToString())
    sys.exit()
if options.case == "prediction":
    predictor = lrp_ref.Predictor(model, precision="fast")
    predictor(x)
    estimate = predictor.memory_needed(x.shape) / 2**20
elif options.case == "zennit":
    from yardsticks import zennit

    run = zennit(model, x, options.composite, [0], threads=2)
    if run is None:
        print("zennit is not installed")
        sys.exit(MISSING)
    del model  # PyTorch has a copy of the weights: ours would count twice
    forget_peak()
    run()
elif options.case != "weights":
    backend, _, memory = options.case.partition("-")
    chosen = {"backend": backend} if backend in lrp_ref.BACKENDS else {}
    explainer = lrp_ref.Explainer(model, options.composite, precision="fast", memory=memory or "normal", **chosen)
    explainer(x)
    estimate = explainer.memory_needed(x.shape) / 2**20
if options.json:
    print(json.dumps({"case": options.case, "peak": peak_megabytes() * 1.048576, "weights": weights * 1.048576}))
    sys.exit()
after = f"; {loading:.0f} MB after loading" if options.case in FILES else ""
peak = f"{options.case:12} peak {peak_megabytes():7.0f} MiB, of which weights {weights:.0f} MiB"
print(f"{peak}; memory_needed() estimates {estimate:.0f} MiB beside them{after}")
