"""ResNet-50's shape, batch 1: accounts that close at every node, how relevance grows, and the stable alternative beside it.

    python benchmarks/resnet.py
    python benchmarks/resnet.py --width 16 --size 96 --composite epsilon_plus

Each choice of `add=` is explained in a process of its own, whose peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

ADD = ("proportional", "z_plus")
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--width", type=int, default=64, help="channels of the first stage; 64 in ResNet-50")
parser.add_argument("--composite", default="epsilon_gamma_box", help="a preset, or `epsilon` for the ε-rule everywhere")
parser.add_argument("--backend", default=None)
parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--all", action="store_true", help="every node's growth, not the sums' alone")
parser.add_argument("--add", default=None, choices=ADD, help="one of the two alone")
options = parser.parse_args()
here = Path(__file__).parent
sys.path[:0] = [str(here), str(here.parent), str(here.parent / "tests")]

if options.add is None:
    for add in ADD:
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--add", add], check=True)
    sys.exit()

import numpy as np  # noqa: E402
from networks import resnet50, smooth_image  # noqa: E402
from timing import forget_peak, machine, peak_megabytes  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import composites, rules  # noqa: E402
from support.fans import outside_the_bound  # noqa: E402

model = resnet50(np.dtype(options.dtype), options.size, options.width, options.seed)
x = smooth_image(options.size, 1, 5, options.dtype)
weights = sum(a.nbytes for node in model.nodes for a in node.layer.parameters.values()) / 2**20
chosen = rules.ZPlus() if options.add == "z_plus" else None
if options.composite == "epsilon":
    composite = composites.uniform(rules.Epsilon(), add=chosen)
else:
    composite = composites.PRESETS[options.composite](add=chosen)  # type: ignore[call-arg]

plain = lrp_ref.Explainer(model, composite, backend=options.backend)
forget_peak()
begun = time.perf_counter()
plain(x)
first = time.perf_counter() - begun
begun = time.perf_counter()
plain(x)
again, peak = time.perf_counter() - begun, peak_megabytes()
estimate = plain.memory_needed(x.shape) / 2**20

booked = lrp_ref.Explainer(model, composite, backend=options.backend, ledger=True)
begun = time.perf_counter()
e = booked(x)
with_ledger = time.perf_counter() - begun
assert e.ledger is not None
open_accounts = outside_the_bound(e, booked.plan({"input": x.shape[1:]}))

if options.add == ADD[0]:
    print(machine())
    print(f"ResNet-50's shape, width {options.width}, {options.size}², {weights:.0f} MB of weights, {options.composite}")
print(f"\nadd: {options.add} ({composite.name})")
print(f"  first call {first:.2f} s, again {again:.2f} s, with ledger {with_ledger:.2f} s")
print(f"  peak {peak:.0f} MB, of which weights {weights:.0f} MB (memory() estimates {estimate:.0f} MB beside them)")
print(f"  accounts: {len(e.ledger)} nodes, outside 4·n·u·turnover: {open_accounts or 'none'}")
value, total = float(e.value[0]), float(e.total[0])
start = abs(value)
grown = float(abs(e.relevance).sum()) / start
print(f"  score {value:.4g}; in total Σ|R| grows {grown:.4g}-fold; ΣR / score {total / value:.4g}")
print(f"  flagged above 10×: {e.ledger.explosions() or 'none'}")
above = [entry.node for entry in e.ledger if float(entry.booking.arriving_abs[0]) > 10 * start]
print(f"  Σ|R| is above 10 times the score at {len(above)} nodes{', first at ' + above[0] if above else ''}")
print(f"  {'node':24}{'grows':>9}{'Σ|R| / score':>16}")
for entry in e.ledger:
    if options.all or entry.node.endswith(".add"):
        flag = "  ← flagged" if entry.node in e.ledger.explosions() else ""
        print(f"  {entry.node:24}{e.ledger.growth(entry.node):9.3f}{float(entry.booking.inputs_abs[0]) / start:16.4g}{flag}")
