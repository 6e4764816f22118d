"""Fair timing inside one process: the contenders take turns, and every figure is the least and the median of its rounds."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path


def alternate(
    contenders: dict[str, Callable[[], object]], rounds: int, warmup: int = 1, least: float = 0.0, pause: float = 0.0
) -> dict[str, tuple[float, float, float]]:
    """For each contender (least wall, median wall, least CPU) seconds of one call over `rounds` rounds in which all take a turn.

    Parameters
    ----------
    least : seconds that a turn takes at least: short calls are repeated, the same number of times in every round
    pause : seconds between turns, in which the threads of the one before come to rest; with it, each turn begins with a call
        that does not count
    """
    calls = dict.fromkeys(contenders, 1)
    for _ in range(warmup):
        for name, run in contenders.items():
            run()
            begun = time.perf_counter()
            if least:
                run()
            calls[name] = max(1, round(least / (time.perf_counter() - begun)))
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            if pause:
                time.sleep(pause)
                if calls[name] > 1:
                    run()
            begun, used = time.perf_counter(), time.process_time()
            for _ in range(calls[name]):
                run()
            wall[name].append((time.perf_counter() - begun) / calls[name])
            cpu[name].append((time.process_time() - used) / calls[name])
    return {name: (min(wall[name]), statistics.median(wall[name]), min(cpu[name])) for name in contenders}


def report(found: dict[str, tuple[float, float, float]], yardsticks: list[tuple[str, str]]) -> None:
    """Print the figures, and the ratio of each (contender, yardstick) pair."""
    width = max(map(len, found))
    print(f"{'':{width}}  {'least wall':>11} {'median wall':>11} {'least CPU':>11}   (milliseconds)")
    for name, figures in found.items():
        print(f"{name:{width}}  " + " ".join(f"{1e3 * figure:11.1f}" for figure in figures))
    for name, yardstick in yardsticks:
        if name in found and yardstick in found:
            ratios = [a / b for a, b in zip(found[name], found[yardstick], strict=True)]
            print(f"{name} / {yardstick}: " + ", ".join(f"{r:.2f}" for r in ratios) + " (least wall, median wall, least CPU)")


def machine(*packages: str) -> str:
    """One line on what this was measured on."""
    versions = []
    for package in ("numpy", *packages):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{package} –")
    place = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    return f"{time.strftime('%Y-%m-%d')}, {place}, {', '.join(versions)}"


class Others:
    """How much of the machine other processes used since this was made (Linux; elsewhere unknown)."""

    def __init__(self) -> None:
        self._begun = self._read()

    @staticmethod
    def _read() -> tuple[float, float] | None:
        """Seconds of all CPUs in use, and those of this process and its children."""
        try:
            ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        except OSError:
            return None
        own = os.times()
        busy = sum(ticks) - ticks[3] - ticks[4]  # neither idle nor waiting for a disk
        return busy / os.sysconf("SC_CLK_TCK"), sum(own[:4])

    def cpus(self, seconds: float) -> float | None:
        """CPUs that others kept busy, on average over the `seconds` since; None where it is unknown."""
        now = self._read()
        if now is None or self._begun is None:
            return None
        busy, own = (after - before for after, before in zip(now, self._begun, strict=True))
        return max(0.0, (busy - own) / seconds)

    def said(self, seconds: float) -> str:
        """The same in words, for a report."""
        used = self.cpus(seconds)
        return "what others used is unknown" if used is None else f"other processes used {used:.2f} CPUs meanwhile"


def forget_peak() -> None:
    """Start counting the peak memory afresh (Linux; elsewhere the peak since the start stays)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        print("the peak memory cannot be reset here: figures include what came before")


def peak_megabytes() -> float:
    """The peak resident memory of this process, since `forget_peak`."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
