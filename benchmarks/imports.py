"""What `import lrp_ref` costs beyond NumPy's own import, and with the compiled backend, in fresh processes that take turns.

python benchmarks/imports.py --rounds 15
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=15)
parser.add_argument("--json", action="store_true")
options = parser.parse_args()
environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode: the first round writes it
PROGRAM = """
import time
t = time.perf_counter()
import numpy
u = time.perf_counter()
import lrp_ref
v = time.perf_counter()
try:
    import lrp_ref.kernels.compiled.backend
    compiled = True
except ImportError:
    compiled = False
w = time.perf_counter()
lrp_ref.Explainer, lrp_ref.load
print(u - t, v - u, w - u, time.perf_counter() - u, *[w - v] * compiled)
"""
NAMES = ("numpy", "lrp_ref beyond it", "with its compiled backend", "with all that explains", "the compiled backend alone")

rows = []
for _ in range(options.rounds + 1):  # the first one fills the caches and does not count
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    rows.append([1e3 * float(value) for value in done.stdout.split()])
columns = zip(*rows[1:], strict=True)
found = {name: {"least": min(c), "median": statistics.median(c)} for name, c in zip(NAMES, columns, strict=False)}
if options.json:
    print(json.dumps(found))
else:
    for name, figures in found.items():
        print(f"{name:26} least {figures['least']:6.1f} ms, median {figures['median']:6.1f} ms")
