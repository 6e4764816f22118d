"""Damage model files at random and read them: reading may give a model or a `FormatError`, nothing else, and soon.

    python benchmarks/fuzz_npz.py --seconds 60 --seed 0

The unit tests do the same for a few hundred files. Here every file that breaks the rule is kept, with the seed that made it, and
the run ends with what was counted. Three kinds of damage: to the bytes of the archive, to the JSON graph inside a sound archive,
and to the headers of the arrays inside it.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import random
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import lrp_ref
from lrp_ref import zoo
from lrp_ref.formats import npz

SLOW = 5.0  # seconds for one file
NUMBERS: list[Any] = [0, 1, -1, 2, 3, 10**6, 2**31, 10**17, 10**30, 0.5, -1e308, 1e400]
LISTS: list[Any] = [[], [[]], [1, 1], [[1, 1], [1, 1]], [0] * 1000]
MAPPINGS: list[Any] = [{}, {"fraction": "1/3"}, {"fraction": "1/0"}, {"low": "domain/0/low", "high": "domain/0/high"}]
JUNK: list[Any] = [*NUMBERS, *LISTS, *MAPPINGS, None, True, False, "", "input", "conv1", "Conv", "a\0", "x" * 5000]
PIECES = [b"", b"9", b"99999999999", b"(", b")", b"O", b"'", b",", b" ", b"-", b"\xff", b"\0", b"\n", b"f8", b"U9", b"True", b"{"]


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)
    return stream.getvalue()


def packed(members: dict[str, bytes], method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value of a JSON tree is."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in ((*path, key), *places(inner, (*path, key)))]


def damaged_graph(graph: dict[str, Any], r: random.Random) -> Any:
    graph = copy.deepcopy(graph)
    for _ in range(r.randint(1, 4)):
        found = places(graph)
        if not found:
            break
        *inner, key = r.choice(found)
        value: Any = graph
        for step in inner:
            value = value[step]
        action = r.randrange(4)
        if action == 0:
            del value[key]
        elif action == 1 and isinstance(value, list):
            value.insert(key, copy.deepcopy(value[r.randrange(len(value))]))
        elif action == 2:
            *other, last = r.choice(found)  # what stands somewhere else
            donor: Any = graph
            try:
                for step in other:
                    donor = donor[step]
                value[key] = copy.deepcopy(donor[last])
            except (LookupError, TypeError):
                continue
        else:
            value[key] = copy.deepcopy(r.choice(JUNK))
    return graph


def damaged_bytes(data: bytes, r: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(r.randint(1, 6)):
        # Half of the damage goes where the structure is: the directory at the end.
        at = r.randrange(len(found)) if r.random() < 0.5 else max(0, len(found) - r.randint(1, 1200))
        action = r.randrange(5)
        if action == 0:
            found[at] ^= 1 << r.randrange(8)
        elif action == 1:
            found[at : at + r.choice([1, 2, 4, 8])] = bytes(
                r.choice([0, 255, r.randrange(256)]) for _ in range(r.choice([1, 2, 4, 8]))
            )
        elif action == 2:
            del found[at : at + r.randint(1, 100)]
        elif action == 3:
            start = r.randrange(len(found))
            found[at:at] = found[start : start + r.randint(1, 300)]
        elif r.random() < 0.1:
            del found[at:]
        if not found:
            break
    return bytes(found)


def damaged_header(members: dict[str, bytes], r: random.Random) -> dict[str, bytes]:
    name = r.choice(list(members))
    found = bytearray(members[name])
    for _ in range(r.randint(1, 4)):
        at = r.randint(0, min(130, len(found)))
        found[at : at + r.randint(0, 3)] = r.choice(PIECES)
    return {**members, name: bytes(found)}


def case(seed: int, graph: dict[str, Any], arrays: dict[str, bytes]) -> tuple[str, bytes]:
    r = random.Random(seed)
    kind = r.choice(["bytes", "graph", "header"])
    method = r.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    whole = {"graph": npy(np.array(json.dumps(damaged_graph(graph, r) if kind == "graph" else graph))), **arrays}
    data = packed(damaged_header(whole, r) if kind == "header" else whole, method)
    return kind, damaged_bytes(data, r) if kind == "bytes" else data


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz_npz_found"), help="folder for files that break the rule")
    asked = parser.parse_args()
    graph, stored = npz.describe(zoo.load("digits_bn"))
    arrays = {name: npy(array) for name, array in stored.items()}
    counts: Counter[str] = Counter()
    slowest, seed, end = 0.0, asked.seed, time.monotonic() + asked.seconds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.npz"
        while time.monotonic() < end:
            kind, data = case(seed, graph, arrays)
            path.write_bytes(data)
            start = time.perf_counter()
            try:
                lrp_ref.load(path)
                said = "read"
            except lrp_ref.errors.FormatError:
                said = "refused"
            except Exception as error:  # noqa: BLE001 (what is looked for)
                said = f"BROKE THE RULE with {type(error).__name__}"
            seconds = time.perf_counter() - start
            slowest = max(slowest, seconds)
            if said.startswith("BROKE") or seconds > SLOW:
                asked.keep.mkdir(exist_ok=True)
                (asked.keep / f"seed_{seed}.npz").write_bytes(data)
                print(f"seed {seed}, {kind}: {said}, {seconds:.1f} s")
            counts[f"{kind}: {said}"] += 1
            seed += 1
    for line, count in sorted(counts.items()):
        print(f"{count:8d}  {line}")
    print(f"seeds {asked.seed} to {seed - 1}; the slowest file took {slowest:.2f} s")
    return int(any("BROKE" in line for line in counts))


if __name__ == "__main__":
    sys.exit(main())
