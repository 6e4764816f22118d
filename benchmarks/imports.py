"""What `import lrp_ref` costs beyond NumPy's own import, in fresh processes that take turns.

python benchmarks/imports.py --rounds 15
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=15)
options = parser.parse_args()
environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
PROGRAM = """
import time
t = time.perf_counter()
import numpy
u = time.perf_counter()
import lrp_ref
print(u - t, time.perf_counter() - u)
"""

rows = []
for _ in range(options.rounds + 1):  # the first one fills the caches and does not count
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    rows.append([1e3 * float(value) for value in done.stdout.split()])
for name, column in zip(("numpy", "lrp_ref beyond it"), zip(*rows[1:], strict=True), strict=True):
    print(f"{name:18} least {min(column):6.1f} ms, median {statistics.median(column):6.1f} ms")
