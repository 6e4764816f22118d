"""`lrp-ref demo`: handwritten digits, a network that reads them, and every rule side by side."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from .. import __version__, zoo
from ..explainer import explain
from ..propagate.explanation import Explanation
from ..propagate.plan import instruction_set
from ..rules import AlphaBeta, Epsilon, Gamma, LinearRule, Zero, ZPlus, relative
from .output import Output, number_text
from .records import record_of
from .report import balance, show_ledger
from .writing import DPI, atomic_write

MODEL = "digits"
NO_CORE = (
    "without its compiled core: explanations are the same, but slower. It is left out where no C compiler is found when "
    "lrp_ref is installed; with gcc or clang, pip install --force-reinstall --no-deps . builds it"
)
SHOWN = 3  # the digit whose ledger is shown
ACCOUNT = Epsilon(relative(0.25))  # under this rule, since every column of its ledger has something in it

#: One rule everywhere: the column's heading, and the rule.
RULES: tuple[tuple[str, LinearRule], ...] = (
    ("LRP-0", Zero()),
    ("LRP-ε\nε = ¼ rms(z)", ACCOUNT),
    ("LRP-γ\nγ = ¼", Gamma(0.25)),
    ("LRP-αβ\nα = 2, β = 1", AlphaBeta(2, 1)),
    ("z⁺", ZPlus()),
)
COMPOSITES = ("epsilon_plus", "epsilon_alpha2_beta1", "epsilon_gamma_box", "deep_taylor", "alpha1_beta0", "lrp_overview")


@click.command(short_help="Explain ten handwritten digits under every rule, side by side.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to write  [default: lrp-demo, or lrp-demo-2, …]"
)
@click.option("--text", is_flag=True, help="Explain sentences instead: is what they say positive or negative?")
@click.option("--force", is_flag=True, help="Overwrite files that are there already.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def demo(out: Path | None, text: bool, force: bool, as_json: bool) -> None:
    """Explain handwritten digits that ship with the package, and write a picture of the rules side by side.

    With --text: sentences, whose words are coloured.
    """
    say = Output(as_json, writes_files=True)
    folder = out or free(Path("lrp-demo"))
    if text:
        from .demo_text import demo_text

        demo_text(say, folder, force, program())
        return
    model, digits = zoo.load(MODEL), zoo.digits()
    columns = _sheet_columns(model, digits.images)
    account = columns["LRP-ε"]
    assert account.ledger is not None
    predictions = _predictions(account, digits.labels)
    say.heading(f"What the network zoo:{MODEL} reads in ten handwritten digits that it was not trained on")
    say.table(("digit", "predicted", "score", "runner-up", "score"), [tuple(p.values()) for p in predictions], right=(2, 4))
    one = explain(model, digits.images[SHOWN : SHOWN + 1], rule=ACCOUNT, ledger=True)
    assert one.ledger is not None
    record = record_of(one, ledger=True)
    say.heading(f"The ledger of digit {SHOWN} under LRP-ε with ε = ¼ rms(z): where its score went")
    show_ledger(say, one.ledger)
    say.say(f"\n{balance(record['targets'][0]['ledger'])}")
    written = _write(folder, force, digits, columns, predictions)
    say.heading("Written")
    width = max(len(str(path)) for path in written)
    for path, what in written.items():
        say.say(f"{path!s:<{width}}  {what}")
    say.heading("Computed by")
    found = instruction_set()
    say.say(f"lrp_ref {__version__}, {f'the compiled core for {found}' if found else NO_CORE}")
    commands = next_commands(folder)
    say.heading("What to try next")
    say.commands(commands)
    say.document(
        {
            "format": "lrp_ref.demo",
            "version": 1,
            "model": f"zoo:{MODEL}",
            "predictions": predictions,
            "relevance": {name: e.total.tolist() for name, e in columns.items()},
            "example": {"digit": SHOWN, "rule": str(ACCOUNT), **record},
            "written": [str(path) for path in written],
            "instruction_set": found,
            "next": commands,
        }
    )


def free(folder: Path) -> Path:
    """The first path of `folder`, folder-2, folder-3, … that does not exist.

    Parameters
    ----------
    folder : the path that is wanted
    """
    candidate, i = folder, 1
    while candidate.exists():
        i += 1
        candidate = folder.with_name(f"{folder.name}-{i}")
    return candidate


def _sheet_columns(model: Any, images: Any) -> dict[str, Explanation]:
    """All digits under each rule and each composite, by the first line of the column's heading."""
    columns = {title.splitlines()[0]: explain(model, images, rule=rule, ledger=rule == ACCOUNT) for title, rule in RULES}
    return columns | {name: explain(model, images, composite=name) for name in COMPOSITES}


def _predictions(explanation: Explanation, labels: Any) -> list[dict[str, Any]]:
    rows = []
    for label, scores in zip(labels, explanation.prediction, strict=True):
        first, second = np.argsort(-scores, kind="stable")[:2]
        rows.append(
            {
                "digit": int(label),
                "predicted": int(first),
                "score": number_text(float(scores[first])),
                "second": int(second),
                "second_score": number_text(float(scores[second])),
            }
        )
    return rows


def _write(
    folder: Path, force: bool, digits: Any, columns: dict[str, Explanation], predictions: list[dict[str, Any]]
) -> dict[Path, str]:
    """The picture, and the digits as arrays to go on with."""
    from .. import render

    rows = [f"digit {p['digit']}\npredicted {p['predicted']}\nscore {p['score']}" for p in predictions]
    figure = render.grid(
        digits.images,
        [[e.relevance[i] for e in columns.values()] for i in range(len(rows))],
        rows=rows,
        columns=[title for title, _ in RULES] + [name.replace("_", "_\n", 1) for name in COMPOSITES],
        groups=(("one rule everywhere", len(RULES)), ("composites: a rule for each kind of layer", len(COMPOSITES))),
        title="Which pixels speak for the class that the network predicts, and which against it",
    )
    picture, samples = folder / "demo.png", folder / "digits"
    with atomic_write(picture, force) as part:
        figure.savefig(part, dpi=DPI)
    for label, image in zip(digits.labels, digits.images, strict=True):
        with atomic_write(samples / f"{label}.npy", force) as part:
            np.save(part, image)
    return {picture: "every digit under every rule", samples: "the digits as .npy, to be explained one by one"}


def next_commands(folder: Path) -> list[str]:
    """Commands that work as they stand, in the folder and with the program that the demo was called in and with.

    Parameters
    ----------
    folder : where the demo has written
    """
    called, samples = program(), folder / "digits"

    def line(*words: object) -> str:
        return shlex.join([*called, *map(str, words)])

    network = f"zoo:{MODEL}"
    return [
        line("explain", network, samples / "3.npy", "--out", folder / "three.png"),
        line("explain", network, samples / "3.npy", "--target", "all", "--out", folder / "all.png"),
        line("explain", network, samples / "8.npy", "--contrast", "3", "--composite", "epsilon_gamma_box"),
        line("explain", network, samples / "4.npy", "--rule", "*=Epsilon(0.25)", "--ledger"),
        line("explain", network, samples, "--out", folder / "maps" / "digit.png"),
        line("inspect", "zoo:digits_bn", "--composite", "lrp_overview"),
        line("rules"),
    ]


def program() -> list[str]:
    """How this program is called from here: its name where the shell finds it, else the path that was typed."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return [Path(sys.executable).name, "-m", "lrp_ref.cli"]
    installed = shutil.which("lrp-ref")
    if os.sep not in sys.argv[0] or (installed and called.exists() and Path(installed).samefile(called)):
        return ["lrp-ref"]
    return [sys.argv[0]]
