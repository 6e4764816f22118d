"""Coverage-guided fuzzing of the ONNX loader, by hand: damaged files, kept where they reach new lines.

    python benchmarks/fuzz_onnx.py [seconds of the processor] [seed]

Each file is loaded in a child process with 2 GB of address space beyond what it starts with, and may take 5 seconds of the
processor, or a minute where the machine is busy with something else. What crashes the child (a crash inside the parser, too),
takes longer, or raises anything but an error of ours is written to `fuzz_onnx_found/`.
"""

from __future__ import annotations

import contextlib
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "formats")]
FOUND = Path("fuzz_onnx_found")
WATCHED = str(ROOT / "lrp_ref" / "formats" / "onnx")
NUMBERS = (-(2**63), -5, -1, 0, 1, 2, 3, 7, 1000, 2**31, 2**40, 2**63 - 1)


class TooLong(BaseException):
    """Five seconds of the processor are over, or a minute."""


def seeds() -> list[bytes]:
    import test_onnx_exports as exports
    import test_onnx_strided as strided

    from support import onnx_examples, onnx_networks

    found = [make().SerializeToString() for make in onnx_networks.NETWORKS.values()]
    found += [exports.written(build, 4, 5)[0].SerializeToString() for build in exports.WRITTEN.values()]
    found += [exports.written(build, *shape)[0].SerializeToString() for build, shape in exports.STACKS.values()]
    found += [strided.strided(strided.WHOLE[::2], batch=batch).SerializeToString() for batch in ("N", 2)]
    for op in onnx_examples.EXAMPLES:
        version = {"Upsample": 9, "GroupNormalization": 21, "Gelu": 20, "Swish": 24}.get(op, 17)
        try:
            proto, _ = onnx_examples.model_of(op, version)
            found.append(proto.SerializeToString())
        except (ValueError, KeyError):
            continue
    return found


def damaged(data: bytes, pool: list[bytes], rng: random.Random) -> bytes:
    """Damage of bytes, or of the graph where the file can still be parsed."""
    if rng.random() < 0.5:
        with contextlib.suppress(Exception):  # what the parser refuses is damaged as bytes instead
            return _rewired(data, rng)
    found = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if not found:
            break
        place, how = rng.randrange(len(found)), rng.randrange(5)
        if how == 0:
            found[place] = rng.choice((0, 1, 127, 128, 255))
        elif how == 1:
            found[place] ^= 1 << rng.randrange(8)
        elif how == 2:
            del found[place : place + rng.randint(1, 64)]
        elif how == 3:
            found[place:place] = found[max(0, place - rng.randint(1, 200)) : place]
        else:
            other = rng.choice(pool)
            start = rng.randrange(len(other))
            found[place:place] = other[start : start + rng.randint(1, 300)]
    return bytes(found)


def _rewired(data: bytes, rng: random.Random) -> bytes:  # noqa: C901 one branch for each kind of change
    import onnx

    from lrp_ref.formats.onnx.translate.operators import OPERATORS

    proto = onnx.ModelProto()
    proto.ParseFromString(data)
    graph = proto.graph
    names = [n for made in graph.node for n in (*made.input, *made.output)] or [""]
    for _ in range(rng.randint(1, 4)):
        if not graph.node:
            break
        made, how = rng.choice(list(graph.node)), rng.randrange(7)
        if how == 0:
            made.op_type = rng.choice(sorted(op for op, _ in OPERATORS))
        elif how == 1 and made.input:
            made.input[rng.randrange(len(made.input))] = rng.choice(names)
        elif how == 2 and made.attribute:
            attribute = rng.choice(list(made.attribute))
            if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
            elif attribute.s:  # such as the equation of an Einsum
                place = rng.randrange(len(attribute.s))
                attribute.s = attribute.s[:place] + rng.choice((b"b", b"i", b"j", b"...", b",", b"")) + attribute.s[place + 1 :]
            else:
                attribute.i = rng.choice(NUMBERS)
        elif how == 3 and graph.initializer:
            tensor = rng.choice(list(graph.initializer))
            if tensor.dims:
                tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
        elif how == 4:
            proto.opset_import[0].version = rng.randint(6, 29)
        elif how == 5 and graph.initializer:
            tensor = rng.choice(list(graph.initializer))
            if len(tensor.raw_data) >= 8:
                place = rng.randrange(0, len(tensor.raw_data) - 7)
                number = (rng.choice(NUMBERS) % 2**64).to_bytes(8, "little")
                tensor.raw_data = tensor.raw_data[:place] + number + tensor.raw_data[place + 8 :]
        elif how == 6 and graph.input:
            shape = rng.choice(list(graph.input)).type.tensor_type.shape
            if shape.dim:
                rng.choice(list(shape.dim)).dim_value = rng.choice(NUMBERS)
    return proto.SerializeToString()


def _stop(*_: Any) -> None:
    raise TooLong


def _limit(processor: int, wall: int) -> None:
    """Stop what comes next after so many seconds of the processor or of the clock; 0: never."""
    signal.setitimer(signal.ITIMER_PROF, processor)
    signal.alarm(wall)


def child(seconds: float, seed: int, current: Path) -> int:
    from lrp_ref.errors import FormatError
    from lrp_ref.formats import onnx as reader

    rng, pool = random.Random(seed), seeds()
    warnings.simplefilter("error")  # what NumPy warns of is an error to some who load
    lines: set[tuple[str, int]] = set()
    started, count, worst = time.process_time(), 0, 0.0
    reader.load(pool[0])
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 2 * 2**30,) * 2)
    signal.signal(signal.SIGALRM, _stop)
    signal.signal(signal.SIGPROF, _stop)
    while time.process_time() - started < seconds:
        data = damaged(rng.choice(pool), pool, rng)
        current.write_bytes(data)
        reached: set[tuple[str, int]] = set()

        def watch(frame: Any, event: str, _: Any, reached: set[tuple[str, int]] = reached) -> Any:
            name = frame.f_code.co_filename
            if not name.startswith(WATCHED):
                return None
            if event == "line":
                reached.add((name, frame.f_lineno))
            return watch

        begun = time.process_time()
        _limit(5, 60)
        sys.settrace(watch)
        try:
            reader.load(data, budget=2**28)
        except FormatError:
            pass
        except BaseException:  # noqa: BLE001 whatever it is, it is a find
            sys.settrace(None)
            _limit(0, 0)
            (FOUND / f"{seed}_{count}.onnx").write_bytes(data)
            (FOUND / f"{seed}_{count}.txt").write_text(traceback.format_exc(), encoding="utf-8")
        finally:
            sys.settrace(None)
            _limit(0, 0)
        worst = max(worst, time.process_time() - begun)
        count += 1
        if reached - lines and data:
            lines |= reached
            pool.append(data)
    print(f"seed {seed}: {count} files, {len(pool)} kept, {len(lines)} lines reached, the slowest took {worst:.2f} s (traced)")
    return 0


def _used() -> float:
    """Seconds of the processor that all children took."""
    taken = resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken.ru_utime + taken.ru_stime


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--child"]:
        return child(float(arguments[1]), int(arguments[2]), Path(arguments[3]))
    seconds, seed = float(arguments[0]) if arguments else 600.0, int(arguments[1]) if len(arguments) > 1 else 0
    FOUND.mkdir(exist_ok=True)
    crashes = 0
    while (left := seconds - _used()) > 1:
        current = FOUND / "current.onnx"
        done = subprocess.run([sys.executable, __file__, "--child", str(min(left, 60.0)), str(seed), str(current)], check=False)
        if done.returncode:
            crashes += 1
            if current.exists():
                current.rename(FOUND / f"crash_{seed}.onnx")
            print(f"seed {seed}: the child ended with {done.returncode}")
        seed += 1
    finds = sorted(FOUND.glob("*.txt"))
    print(f"{crashes} crashes, {len(finds)} other finds")
    return 1 if crashes or finds else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
