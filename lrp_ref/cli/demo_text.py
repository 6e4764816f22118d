"""`lrp-ref demo --text`: sentences of a small grammar, a network that reads them, and the words that it goes by."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import render, zoo
from ..explainer import Explainer
from ..render import Reading
from .coloured_words import show_legend, show_words
from .output import Output, number_text
from .writing import DPI, atomic_write

MODEL = "sentences"
SHOWN = 10
#: The rules of LSTMs, the usual one first.
RULES = ("lstm_all", "lstm_prop", "lstm_abs", "lstm_half")


def demo_text(say: Output, folder: Path, force: bool, program: list[str]) -> None:
    """Explain held-out sentences of the zoo, and write them as a page and as a picture.

    Parameters
    ----------
    say : where words go
    folder : where files are written
    force : whether files that are there are overwritten
    program : how this program is called

    Raises
    ------
    ExistingFileError
        Where a file is there already.
    MissingExtraError
        Where matplotlib is not installed.
    """
    held_out = zoo.sentences()
    columns = {name: _explained(name, held_out) for name in RULES}
    say.heading(f"What the network zoo:{MODEL} reads in sentences that it was not trained on")
    say.say("The grammar that made them says which words matter; they are " + ("underlined." if say.terminal else "in brackets."))
    say.say()
    show_words(say, columns["lstm_all"][:SHOWN], numbers=False)
    show_legend(say, numbers=True)
    shares = {name: _shares(sentences) for name, sentences in columns.items()}
    known = float(np.mean([mark for marks in held_out.matters for mark in marks]))
    say.heading(
        f"How much of Σ |R| the words that matter get in {len(held_out.words)} sentences; they are {known:.0%} of all words"
    )
    rows = [(name, f"{share:.1%}", f"{hit:.1%}") for name, (share, hit) in shares.items()]
    say.table(("rule", "share of Σ |R|", "the strongest word matters"), rows, right=(1, 2))
    written = _write(folder, force, columns, held_out)
    say.heading("Written")
    width = max(len(str(path)) for path in written)
    for path, what in written.items():
        say.say(f"{path!s:<{width}}  {what}")
    commands = _next(folder, program)
    say.heading("What to try next")
    say.commands(commands)
    say.document(
        {
            "format": "lrp_ref.demo",
            "version": 1,
            "model": f"zoo:{MODEL}",
            "sentences": [_sentence_record(one) for one in columns["lstm_all"][:SHOWN]],
            "share": {name: share for name, (share, _) in shares.items()},
            "strongest_matters": {name: hit for name, (_, hit) in shares.items()},
            "written": [str(path) for path in written],
            "next": commands,
        }
    )


def _explained(composite: str, held_out: zoo.Sentences) -> list[Reading]:
    """Every held-out sentence, for the class that the network predicts."""
    model, vocabulary = zoo.load(MODEL), zoo.vocabulary(MODEL)
    assert vocabulary is not None
    explainer, classes, sentences = Explainer(model, composite), zoo.classes(MODEL), []
    for words, label, matters in zip(held_out.words, held_out.labels, held_out.matters, strict=True):
        explanation = explainer(vocabulary.look_up(words)[None].astype(model.dtype))
        (reading,) = render.readings(explanation, words, labels=classes)
        assert explanation.target is not None
        right = "" if explanation.target[0] == label else f", though it is {classes[label]}"
        caption = f"{classes[int(explanation.target[0])]} ({number_text(float(explanation.value[0]))}){right}"
        sentences.append(replace(reading, caption=caption, marked=matters))
    return sentences


def _shares(sentences: list[Reading]) -> tuple[float, float]:
    """What the words that matter get of Σ |R|, and how often the strongest word is one of them; means over sentences."""
    shares, hits = [], []
    for one in sentences:
        sizes, marks = np.abs(one.relevance), np.array(one.marked)
        shares.append(sizes[marks].sum() / sizes.sum())
        hits.append(marks[sizes.argmax()])
    return float(np.mean(shares)), float(np.mean(hits))


def _sentence_record(one: Reading) -> dict[str, Any]:
    words = zip(one.words, one.relevance.tolist(), one.marked, strict=True)
    return {
        "explained": one.caption,
        "words": [{"word": word, "relevance": relevance, "matters": matters} for word, relevance, matters in words],
    }


def _write(folder: Path, force: bool, columns: dict[str, list[Reading]], held_out: zoo.Sentences) -> dict[Path, str]:
    """A page of every rule, a picture of the usual one, and the sentences to go on with."""
    page, picture, sentences = folder / "words.html", folder / "words.png", folder / "sentences.txt"
    every = [replace(column[i], caption=f"{name}: {column[i].caption}") for i in range(SHOWN) for name, column in columns.items()]
    with atomic_write(sentences, force) as part:
        part.write_text("".join(f"{' '.join(words)}\n" for words in held_out.words[:SHOWN]), encoding="utf-8")
    with atomic_write(page, force) as part:
        facts = f"zoo:{MODEL}; underlined are the words that matter by the grammar"
        part.write_text(_page(every, facts), encoding="utf-8")
    figure = render.sentences(columns["lstm_all"][:SHOWN], title="Which words speak for the class that the network predicts")
    with atomic_write(picture, force) as part:
        figure.savefig(part, dpi=DPI)
    return {
        sentences: "the sentences, one on each line, to be explained again",
        page: "the sentences under the four rules, for a browser",
        picture: "the sentences under lstm_all",
    }


def _page(every: list[Reading], facts: str) -> str:
    """The sentences under every rule, each reading on its own scale: rules differ in size by orders of magnitude."""
    return render.html(every, title="Sentences under the four rules", facts=facts, scale="sentence")


def _next(folder: Path, program: list[str]) -> list[str]:
    """Commands that work as they stand."""

    def line(*words: object) -> str:
        return shlex.join([*program, *map(str, words)])

    network, sentences = f"zoo:{MODEL}", folder / "sentences.txt"
    return [
        line("explain", network, sentences, "--composite", "lstm_all", "--numbers"),
        line("explain", network, sentences, "--composite", "lstm_half", "--out", folder / "half.html"),
        line("explain", network, sentences, "--target", "1", "--out", folder / "steps" / "words.npz"),
        f"echo the film was not bad | {line('explain', network, '-', '--target', 'all')}",
    ]
