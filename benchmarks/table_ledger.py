"""The rows of the table about the ledger and the command line: what accounts cost, and what an explanation from a shell costs."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
from table_lines import Found, Line, Setting, Want, side_by_side

import lrp_ref
from lrp_ref import composites, rules

LIMITS = {"epsilon_plus": (1.6, 1.25), "epsilon_gamma_box": (1.6, 1.25), "ε": (2.0, None)}


def ledger(setting: Setting, network: str) -> Found:
    """Explanations with their ledger against those without, under three composites."""
    if network == "SqueezeNet" and setting.squeezenet is None:
        return Found((), ("SqueezeNet: give its file with --squeezenet",))
    lines: list[Line] = []
    remarks: list[str] = []
    model, x = _network(network, setting)
    low, high = float(x.min()), float(x.max())
    chosen = ("epsilon_plus", composites.epsilon_gamma_box(low, high), rules.Epsilon())
    for (name, (must, aim)), how in zip(LIMITS.items(), chosen, strict=True):
        given = {"rule": how} if isinstance(how, rules.Rule) else {"composite": how}
        plain, booked = (setting.explainer(model, ledger=kept, **given) for kept in (False, True))
        if not np.array_equal(plain(x).relevance, booked(x).relevance):
            raise AssertionError(f"{network}, {name}: a ledger changes the relevance")
        contenders = {"ours": lambda e=booked: e(x).ledger.entries, "without": lambda e=plain: e(x)}
        want = Want("without", must, aim, more=False)
        found = side_by_side(setting, f"{network}, {name}, with its ledger", contenders, [want], rounds=5, least=0.1)
        lines += found.lines
        remarks += found.remarks
    return Found(tuple(lines), tuple(remarks))


#: Kind, layers, directions, steps, batch.
RECURRENT = (
    *(("LSTM", 1, 2, 20, 1), ("LSTM", 1, 2, 200, 1), ("LSTM", 1, 2, 200, 64), ("LSTM", 2, 2, 20, 1), ("LSTM", 2, 1, 20, 64)),
    *(("GRU", 1, 2, 20, 1), ("GRU", 2, 1, 20, 64), ("RNN", 1, 1, 20, 1), ("RNN", 2, 2, 20, 64)),
)


def recurrent(setting: Setting) -> Found:
    """The same of recurrent networks, under `lstm_all`."""
    lines: list[Line] = []
    remarks: list[str] = []
    for kind, depth, directions, steps, batch in RECURRENT:
        model = networks.recurrent(kind, depth, directions)
        x = np.random.default_rng(1).normal(size=(batch, steps, 60))
        plain, booked = (setting.explainer(model, "lstm_all", ledger=kept) for kept in (False, True))
        if not np.array_equal(plain(x, target=2).relevance, booked(x, target=2).relevance):
            raise AssertionError(f"{kind}: a ledger changes the relevance")
        contenders = {
            "ours": lambda e=booked, x=x: e(x, target=2).ledger.entries,  # they are put together when they are looked at
            "without": lambda e=plain, x=x: e(x, target=2),
        }
        layers = f"{depth} {'bidirectional ' if directions == 2 else ''}{kind}"
        name = f"{layers}, T = {steps}, batch {batch}"
        found = side_by_side(
            setting, f"{name}, with its ledger", contenders, [Want("without", 2.0, None, more=False)], rounds=5, least=0.1
        )
        lines += found.lines
        remarks += found.remarks
    return Found(tuple(lines), tuple(remarks))


def _network(name: str, setting: Setting) -> tuple[lrp_ref.Model, np.ndarray]:
    if name == "SqueezeNet":
        return lrp_ref.load(setting.squeezenet), 60 * networks.smooth_image(227)
    if name == "LeNet-5":
        return networks.lenet5(), np.random.default_rng(1).standard_normal((1, 1, 28, 28)).astype(np.float32)
    return (networks.vgg16 if name == "VGG-16" else networks.resnet50)(size=setting.size), networks.smooth_image(setting.size)


def command(setting: Setting) -> Found:
    """`lrp-ref explain` on one photograph, and on each further one of a folder: CPU seconds, imports included."""
    if setting.squeezenet is None:
        return Found((), ("the command line: give SqueezeNet's file with --squeezenet",))
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for i, pixels in enumerate(networks.smooth_image(400, 6)):
            Image.fromarray(np.uint8(63 * (pixels.transpose(1, 2, 0) + 2))).save(images / f"{i}.png")
        one = min(_cpu(setting.squeezenet, images / "0.png", Path(folder)) for _ in range(setting.rounds or 5))
        all_ = min(_cpu(setting.squeezenet, images, Path(folder)) for _ in range(setting.rounds or 5))
    each = (all_ - one) / 5
    lines = (
        Line("`lrp-ref explain` SqueezeNet, one photograph, CPU", f"{one:.2f} s", "–", "", one, False, 2.0, None, "s"),
        Line("`lrp-ref explain`, each further photograph, CPU", f"{each:.2f} s", "–", "", each, False, 0.15, None, "s"),
    )
    return Found(lines)


def _cpu(network: str, source: Path, folder: Path) -> float:
    """Seconds of CPU of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = ["explain", network, str(source), "--out", str(folder / "heat.png"), "--force", "--preprocess", "caffe"]
    subprocess.run(
        [sys.executable, "-m", "lrp_ref.cli", *words], stdout=subprocess.DEVNULL, check=True, cwd=Path(__file__).parents[1]
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


ROWS: dict[str, Callable[[Setting], Found]] = {
    "ledger-vgg16": lambda setting: ledger(setting, "VGG-16"),
    "ledger-resnet50": lambda setting: ledger(setting, "ResNet-50"),
    "ledger-squeezenet": lambda setting: ledger(setting, "SqueezeNet"),
    "ledger-lenet": lambda setting: ledger(setting, "LeNet-5"),
    "ledger-recurrent": recurrent,
    "command": command,
}
