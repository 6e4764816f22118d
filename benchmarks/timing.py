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


def alternate(contenders: dict[str, Callable[[], object]], rounds: int, warmup: int = 1) -> dict[str, tuple[float, float, float]]:
    """For each contender (least wall, median wall, least CPU) seconds over `rounds` rounds in which all take a turn."""
    for _ in range(warmup):
        for run in contenders.values():
            run()
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            begun, used = time.perf_counter(), time.process_time()
            run()
            wall[name].append(time.perf_counter() - begun)
            cpu[name].append(time.process_time() - used)
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
