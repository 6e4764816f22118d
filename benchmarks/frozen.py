"""Does a change leave every number alone? Some 400 fixed cases by this tree and by another one, compared bit for bit.

    python benchmarks/frozen.py ../before                  # all
    python benchmarks/frozen.py ../before --only 'LSTM*'   # cases by name
    python benchmarks/frozen.py .                          # a tree against itself: are the cases the same every time?

Predictions, relevances, ledgers, targets and the classes of errors count. Each tree runs in a process of its own, on this
machine, with this environment: bits of products differ between processors, so nothing is stored. Each tree needs its compiled
core, built in place. The exit code is 1 where a case differs.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def digest(value: Any) -> str:
    """What an array is, in a line: rationals by their text, floats by their bytes."""
    import numpy as np

    array = np.asarray(value)
    exact = [f"{x.numerator:x}/{x.denominator:x}" for x in array.flat] if array.dtype == object else []
    data = " ".join(exact).encode() if exact else np.ascontiguousarray(array).tobytes()
    return f"{array.dtype.str} {list(array.shape)} {hashlib.sha256(data).hexdigest()[:16]}"


def outcome(case: Any) -> dict[str, str]:
    """What a case gives: a line for each array, or the class of the error."""
    from lrp_ref.errors import LrpError

    try:
        return {name: digest(value) for name, value in case().items()}
    except LrpError as error:
        return {"error": type(error).__name__}
    except Exception as error:  # noqa: BLE001  (a crash is an outcome too, and must be the same)
        return {"crash": f"{type(error).__name__}: {error}"}


def record(pattern: str) -> None:
    """Print the outcomes of this process's package as JSON."""
    import frozen_cases

    found = frozen_cases.cases()
    json.dump({name: outcome(case) for name, case in found.items() if fnmatch.fnmatch(name, pattern)}, sys.stdout)


def outcomes(tree: Path, pattern: str) -> dict[str, dict[str, str]]:
    """The outcomes of a tree, from a process in which it alone is on the path."""
    paths = os.pathsep.join([str(tree.resolve()), str(HERE)])
    command = [sys.executable, str(HERE / "frozen.py"), "--record", "--only", pattern]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tree}: {done.stderr}")
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def differences(ours: dict[str, dict[str, str]], theirs: dict[str, dict[str, str]]) -> list[str]:
    """A line for each case that is not the same."""
    lines = []
    for name in {**theirs, **ours}:
        mine, other = ours.get(name, {}), theirs.get(name, {})
        parts = [key for key in {**other, **mine} if mine.get(key) != other.get(key)]
        if parts:
            first = parts[0]
            lines.append(f"{name}: {len(parts)} of {len({**other, **mine})}; {first}: {other.get(first)} → {mine.get(first)}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", nargs="?", help="the other tree")
    parser.add_argument("--only", default="*", help="a glob of cases")
    parser.add_argument("--record", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.record:
        record(arguments.only)
        return
    if arguments.other is None:
        parser.error("the other tree is missing")
    ours, theirs = (outcomes(tree, arguments.only) for tree in (HERE.parent, Path(arguments.other)))
    lines = differences(ours, theirs)
    errors, crashes = (sum(kind in found for found in ours.values()) for kind in ("error", "crash"))
    print(*lines, sep="\n")
    print(f"{len(ours)} cases ({errors} refused, {crashes} crashed), {len(lines)} differ")
    raise SystemExit(bool(lines))


if __name__ == "__main__":
    main()
