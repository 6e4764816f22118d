"""What must be shown: every row of the table, ours and the yardsticks in one run in which they take turns.

    python benchmarks/table.py                                    # every row, two threads
    python benchmarks/table.py vgg16-fast lenet --threads 1       # some of them, one thread
    python benchmarks/table.py squeezenet --squeezenet squeezenet1_0.onnx
    python benchmarks/table.py --list

Each row is a process of its own. Figures are medians of wall time; ratios of the least wall and CPU times stand beside them.
Yardsticks (torch, zennit==0.5.1, captum==0.9.0, onnxruntime) are installed by hand; what is missing is left out, and said so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
TITLES = ["work", "ours", "yardstick", "ratio", "must", "aim", "met?"]
BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="default: all; --list shows them")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--backend", default="compiled")
    parser.add_argument("--size", type=int, default=224, help="cells of an image's side; the table's is 224")
    parser.add_argument("--squeezenet", help="SqueezeNet 1.0 as an ONNX file")
    parser.add_argument("--wheel", help="measure this wheel rather than build one")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # this process measures the row
    return parser.parse_args()


def measured(row: str, options: argparse.Namespace) -> dict[str, object]:
    """One row, in this process."""
    from table_ledger import ROWS as LEDGER
    from table_lines import Setting
    from table_other import ROWS as OTHER
    from table_rows import ROWS

    setting = Setting(options.threads, options.rounds, options.backend, options.size, options.squeezenet, options.wheel)
    return (ROWS | OTHER | LEDGER)[row](setting).document()


def in_a_process(row: str, options: argparse.Namespace) -> dict[str, list[object]]:
    """One row, in a process whose libraries are told how many threads they have."""
    environment = os.environ | dict.fromkeys(BLAS, str(options.threads))
    given = [argument for argument in sys.argv[1:] if argument not in options.rows]
    command = [sys.executable, __file__, row, "--one", *given]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"lines": [], "remarks": [f"FAILED with exit code {done.returncode}"]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    options = arguments()
    from table_ledger import ROWS as LEDGER
    from table_lines import Line
    from table_other import ROWS as OTHER
    from table_rows import ROWS
    from timing import machine

    known = [*ROWS, *OTHER, *LEDGER]
    if options.list:
        print("\n".join(known))
        return 0
    wrong = [row for row in options.rows if row not in known]
    if wrong:
        print(f"no such row: {', '.join(wrong)}; there are {', '.join(known)}")
        return 2
    if options.one:
        print(json.dumps(measured(options.rows[0], options)))
        return 0
    print(f"{machine('torch', 'zennit', 'captum', 'onnxruntime')}; {options.threads} thread(s), backend {options.backend}\n")
    print(f"| {' | '.join(TITLES)} |\n|{' --- |' * len(TITLES)}", flush=True)
    documents, remarks = {}, []
    for row in options.rows or known:
        found = documents[row] = in_a_process(row, options)
        for line in found["lines"]:
            line.pop("met")
            print(f"| {' | '.join(Line(**line).cells())} |", flush=True)
        remarks += [f"{row}: {remark}" for remark in found["remarks"]]
    print("\n" + "\n".join(remarks))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "threads": options.threads, "rows": documents}, indent=1))
    failed = [remark for remark in remarks if "FAILED" in remark]
    print("\n".join(["", *failed]) if failed else "", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
