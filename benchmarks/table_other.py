"""The rows of the table that are no single explanation: targets, memory, many images, imports, the wheel, threads."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
from table_lines import Found, Line, Setting, Want, side_by_side

from lrp_ref import zoo

HERE = Path(__file__).resolve().parent


def ten_targets(setting: Setting) -> Found:
    """Ten targets of one input at once, against ten explanations."""
    model, x = networks.vgg16(size=setting.size), networks.smooth_image(setting.size)
    explainer = setting.explainer(model, "epsilon_gamma_box", precision="fast")
    contenders = {
        "ours": lambda: explainer(x, targets=range(10)),
        "ten single explanations": lambda: [explainer(x, target=k) for k in range(10)],
    }
    name = f"ten targets of one VGG-16 input, {setting.size}², epsilon_gamma_box, `fast`"
    return side_by_side(setting, name, contenders, [Want("ten single explanations", 0.6, more=False)], rounds=3)


def two_threads(setting: Setting) -> Found:
    """One thread against two."""
    model, x = networks.vgg16(size=setting.size), networks.smooth_image(setting.size)
    contenders, wants = {}, []
    for precision in ("fast", "float32"):
        one, two = (setting.explainer(model, "epsilon_gamma_box", precision=precision, threads=k) for k in (1, 2))
        contenders |= {precision: lambda e=two: e(x, target=0), f"{precision} on 1 thread": lambda e=one: e(x, target=0)}
        wants.append(Want(f"{precision} on 1 thread", 1.7, ours=precision))
    return side_by_side(setting, "VGG-16 shape, epsilon_gamma_box, 2 threads", contenders, wants, rounds=7)


def digits(setting: Setting) -> Found:
    """10 000 digits in one batch, per image, against one image alone."""
    images = zoo.digits().images
    batch = np.resize(images, (10_000, *images.shape[1:]))
    lines, remarks = [], []
    for network in (name for name in zoo.names() if name.startswith("digits")):
        model = zoo.load(network)
        explainer = setting.explainer(model, "epsilon_plus")
        contenders = {
            "ours": lambda e=explainer: e(batch),
            "batch 1": lambda e=explainer: [e(batch[i : i + 1]) for i in range(200)],
        }
        found = side_by_side(setting, network, contenders, [Want("batch 1", more=False)], rounds=5)
        remarks += found.remarks
        (line,) = found.lines
        ratio = None if line.figure is None else line.figure * 200 / len(batch)
        shown = "" if ratio is None else f"{ratio:.3f}"
        work = f"10 000 digits through {network}, epsilon_plus, one batch"
        lines.append(Line(work, line.ours, f"{line.yardstick} for 200 images one by one", shown, ratio, False, 0.2))
    return Found(tuple(lines), tuple(remarks))


def memory(setting: Setting) -> Found:
    """Peak memory of one explanation, each case in a process of its own."""
    found: dict[str, float] = {}
    remarks = []
    for case in ("zennit", setting.backend, f"{setting.backend}-low"):
        script = [sys.executable, str(HERE / "memory.py"), "--case", case, "--size", str(setting.size), "--json"]
        done = subprocess.run(script, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            remarks.append(f"{case}: failed with exit code {done.returncode}")
            continue
        result = json.loads(done.stdout)
        found[case] = result["peak"]
        remarks.append(f"{case}: peak {result['peak']:.0f} MB, of which weights {result['weights']:.0f} MB")
    limits = {setting.backend: ("normal", 1300.0), f"{setting.backend}-low": ("low", 950.0)}
    lines = []
    theirs = f"Zennit {found['zennit']:.0f} MB" if "zennit" in found else "Zennit: not installed"
    for case, (name, limit) in limits.items():
        peak = found.get(case)
        ratio = "" if peak is None or "zennit" not in found else f"{peak / found['zennit']:.2f}"
        ours = "–" if peak is None else f"{peak:.0f} MB"
        lines.append(Line(f"peak memory, VGG-16, batch 1, `{name}`", ours, theirs, ratio, peak, False, limit, None, "MB"))
    return Found(tuple(lines), tuple(remarks))


def imports(setting: Setting) -> Found:
    """The import of the package and the compiled backend, beyond NumPy's."""
    rounds = str(setting.rounds or 15)
    done = subprocess.run(
        [sys.executable, str(HERE / "imports.py"), "--rounds", rounds, "--json"], stdout=subprocess.PIPE, text=True, check=True
    )
    result = json.loads(done.stdout)
    ours, theirs = result["with its compiled backend"], result["numpy"]
    lines = [
        Line(
            "import of lrp_ref and its compiled backend, beyond NumPy's",
            f"+ {ours['median']:.0f} ms",
            f"NumPy {theirs['median']:.0f} ms",
            f"{ours['median'] / theirs['median']:.2f}",
            ours["median"],
            False,
            60,
            30,
            "ms",
        )
    ]
    remarks = tuple(f"{name}: least {f['least']:.1f} ms, median {f['median']:.1f} ms" for name, f in result.items())
    return Found(tuple(lines), remarks)


def wheel(setting: Setting) -> Found:
    """The size of the wheel, of which the compiled core is the larger part."""
    if setting.wheel is not None:
        return _weighed(Path(setting.wheel))
    with tempfile.TemporaryDirectory() as folder:
        command = ["bash", str(HERE.parent / ".ci" / "wheel"), folder]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        made = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not made:
            return Found((), (f"the wheel could not be built: exit code {done.returncode}",))
        return _weighed(made[-1])


def _weighed(path: Path) -> Found:
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    core = {name: size for name, size in sizes.items() if "/_core." in name and not name.endswith(".pyi")}
    size = path.stat().st_size / 1e6
    remarks = [f"{name}: {size / 1e6:.2f} MB unpacked" for name, size in core.items()] or ["no compiled core in the wheel"]
    line = Line(f"wheel ({path.name})", f"{size:.2f} MB", "–", "", size if core else None, False, 1.5, 1.1, "MB")
    return Found((line,), tuple(remarks))


ROWS: dict[str, Callable[[Setting], Found]] = {
    "targets": ten_targets,
    "memory": memory,
    "digits": digits,
    "import": imports,
    "wheel": wheel,
    "threads": two_threads,
}
