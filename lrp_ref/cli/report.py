"""The records of explained samples as text: one at length, many as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ledger import COLUMNS, Ledger
from ..propagate.share import percent
from ..render import Reading
from .coloured_words import readings_of, show_legend, show_words
from .output import Output, number_text
from .records import TOTALS
from .regions import regions_text, show_regions, strongest_region

MOST_NAMED = 3  # features that a line names
MOST_REMARKS = 5  # samples whose remarks a table of many is followed by
_AXES = {1: "", 2: " (row, column)", 3: " (channel, row, column)"}


def output_name(output: Any, label: str | None) -> str:
    """The name of an output: its index, and its class where that has a name.

    Parameters
    ----------
    output : the index
    label : the name of the class
    """
    return str(output) if label is None else f"{output} {label}"


def feature_name(entry: dict[str, Any], named: bool) -> str:
    """The name of a feature: that of its column, else 12 or [3, 4]; with the input in front where there are several.

    Parameters
    ----------
    entry : a feature of `strongest`
    named : whether its input is named
    """
    index = entry["feature"]
    if "name" in entry:
        return str(entry["name"])
    text = str(index[0]) if len(index) == 1 else f"[{', '.join(map(str, index))}]"
    return f"{entry['input']} {text}" if named else text


def question_text(record: dict[str, Any], target: dict[str, Any]) -> str:
    """The quantity that is explained, in words.

    Parameters
    ----------
    record : of a sample
    target : one of its targets
    """
    output, label = target["target"], target.get("label")
    if output is None:
        return "the given start"
    named = f"output {output}" if label is None else f"output {output} ({label})"
    if record["head"] == "log-odds":
        return f"the log-odds of {named}"
    if record["head"] == "probability" and record["contrast"] is None:
        return f"the probability of {named}"
    other = record.get("contrast_label")
    against = "" if record["contrast"] is None else f" minus that of output {record['contrast']}{f' ({other})' if other else ''}"
    return f"the score of {named}{against}"


def show_one(out: Output, record: dict[str, Any], numbers: bool = False) -> None:
    """Print everything about one sample; of a sentence its coloured words, with their relevance as `numbers`.

    Parameters
    ----------
    out : where it goes
    record : of the sample
    numbers : whether each word has its relevance below it
    """
    ranked = [f"{output_name(entry['output'], entry['label'])} ({number_text(entry['score'])})" for entry in record["best"]]
    out.say(f"prediction  {ranked[0]}")
    if ranked[1:]:
        out.say(f"then        {'; '.join(ranked[1:])}")
    sentences = readings_of(record)
    show = _show_target if len(record["targets"]) == 1 else _show_block
    for t, target in enumerate(record["targets"]):
        show(out, record, target, sentences[t : t + 1], numbers)
    if sentences:
        show_legend(out, numbers)
    for remark in record["remarks"]:
        out.say(f"remark      {remark}")
    for note in record["notes"]:
        out.say(f"note        {note}")
    for warning in record.get("warnings", ()):
        out.heading(f"WARNING     {warning}")  # last, where nobody can miss it


def _show_target(out: Output, record: dict[str, Any], target: dict[str, Any], sentence: list[Reading], numbers: bool) -> None:
    """Everything about the only target: what is explained, where its relevance is, its ledger."""
    out.say(f"explained   {question_text(record, target)}, {number_text(target['value'], 6)}{_arrival_text(target)}")
    if sentence:
        out.say()
        show_words(out, sentence, numbers, captions=False)
    elif target.get("regions"):
        show_regions(out, target["regions"])
    else:
        _show_strongest(out, target, bool(record.get("sequence")))
    out.say()
    out.say(f"{'sum' if target['ledger'] is None else 'ledger':<10}  {_accounts(target)}")


def _show_block(out: Output, record: dict[str, Any], target: dict[str, Any], sentence: list[Reading], numbers: bool) -> None:
    """One of several targets, as a heading and a few lines."""
    out.heading(f"{question_text(record, target)}, {number_text(target['value'], 6)}{_arrival_text(target)}")
    if sentence:
        show_words(out, sentence, numbers, captions=False)
    else:
        for title, side, sign in (("for", "positive", 1), ("against", "negative", -1)):
            out.say(f"  {title:<8}  {_strongest_text(target, side, sign)}")
    out.say(f"  {'sum' if target['ledger'] is None else 'ledger':<8}  {_accounts(target)}")


def _strongest_text(target: dict[str, Any], side: str, sign: int) -> str:
    """The strongest places or features of one sign in a line."""
    if target.get("regions"):
        return regions_text(target["regions"], sign)
    several = len({entry["input"] for entry in (*target["positive"], *target["negative"])}) > 1
    return ", ".join(f"{feature_name(e, several)} {number_text(e['relevance'])}" for e in target[side][:MOST_NAMED]) or "–"


def _arrival_text(target: dict[str, Any]) -> str:
    """How much of the value arrives at the inputs, where that means something."""
    share = target.get("share_arrived")
    return "" if share is None else f", of which {percent(share)} arrives at the inputs"


def _show_strongest(out: Output, target: dict[str, Any], sequence: bool) -> None:
    entries = [*target["positive"], *target["negative"]]
    several = len({entry["input"] for entry in entries}) > 1
    axes = _AXES.get(len(entries[0]["feature"]), "") if entries else ""
    axes = " (step, feature)" if sequence else axes
    axes = "" if any("name" in entry for entry in entries) else axes
    for title, side in (("The strongest features for it", "positive"), ("The strongest against it", "negative")):
        out.heading(title if target[side] else f"{title}: none")
        if target[side]:
            rows = [
                (feature_name(e, several), "–" if e["x"] is None else number_text(e["x"]), number_text(e["relevance"]))
                for e in target[side]
            ]
            out.table((f"feature{axes}", "x", "relevance"), rows, right=(1, 2))


def _accounts(target: dict[str, Any]) -> str:
    """The totals of a target's ledger; of a method without one what its relevances add up to."""
    if target["ledger"] is not None:
        return balance(target["ledger"])
    total, shared = target["total"], target["shared"]
    if shared is None:
        return f"{number_text(total, 6)}: this method shares nothing out"
    return f"{number_text(total, 6)} of {number_text(shared, 6)}, what the method shares out"


def balance(totals: dict[str, float]) -> str:
    """The totals of a ledger as an equation.

    Parameters
    ----------
    totals : by column
    """
    parts = [f"inputs {number_text(totals['inputs'], 6)}"]
    for name in TOTALS[1:]:
        sign = "-" if totals[name] < 0 else "+"
        parts.append(f"{sign} {name} {number_text(abs(totals[name]), 3)}")
    return f"{number_text(totals['start'], 6)} = {' '.join(parts)}"


def show_sentences(out: Output, records: Sequence[dict[str, Any]], numbers: bool) -> None:
    """Print each sentence with its coloured words, once for each target.

    Parameters
    ----------
    out : where they go
    records : of the samples
    numbers : whether each word has its relevance below it
    """
    for record in records:
        again = "" if record["status"] == "explained" else f", {record['status']}"
        show_words(out, readings_of(record, f"{record['name']}{again}: "), numbers)
    show_legend(out, numbers)
    show_remarks(out, records)


def show_several(out: Output, records: Sequence[dict[str, Any]]) -> None:
    """Print one table, a row for each sample and target.

    Parameters
    ----------
    out : where it goes
    records : of the samples
    """
    columns = ("sample", "predicted", "target", "value", "arrived", *TOTALS[:-1], "most for", "most against", "status")
    rows: list[tuple[Any, ...]] = []
    for record in records:
        if not record.get("targets"):
            rows.append((record["name"], *("",) * (len(columns) - 2), record["status"]))
        for target in record.get("targets", ()):
            ends = [_strongest_name(target, side, sign) for side, sign in (("positive", 1), ("negative", -1))]
            known = target["ledger"] or dict.fromkeys(TOTALS) | {"inputs": target.get("total")}
            totals = ["–" if known[name] is None else number_text(known[name]) for name in TOTALS[:-1]]
            value = number_text(target["value"])
            share = target.get("share_arrived")
            arrived = "–" if share is None else percent(share)
            best = record["best"][0]["label"] if record.get("best") else None
            names = [output_name(record["predicted"], best), output_name(target["target"], target.get("label"))]
            rows.append((record["name"], *names, value, arrived, *totals, *ends, record["status"]))
    labelled = any(target.get("label") for record in records for target in record.get("targets", ()))
    out.table(columns, rows, right=range(3 if labelled else 1, 9), spare=(8, 7, 6, 5, 10, 9))
    show_remarks(out, records)


def _strongest_name(target: dict[str, Any], side: str, sign: int) -> str:
    """The strongest place or feature of one sign, for a cell of a table."""
    if target.get("regions"):
        return strongest_region(target["regions"], sign)
    return feature_name(target[side][0], False) if target[side] else "–"


def show_remarks(out: Output, records: Sequence[dict[str, Any]]) -> None:
    """Print the remarks on the first few samples that have some.

    Parameters
    ----------
    out : where they go
    records : of the samples
    """
    remarked = [record for record in records if record.get("remarks")]
    for record in remarked[:MOST_REMARKS]:
        for remark in record["remarks"]:
            out.say(f"remark  {record['name']}: {remark}")
    if len(remarked) > MOST_REMARKS:
        out.say(f"{len(remarked) - MOST_REMARKS} more samples have remarks; --json lists them")
    warned = [(record["name"], warning) for record in records for warning in record.get("warnings", ())]
    for warning in dict.fromkeys(text for _, text in warned):
        names = [name for name, text in warned if text == warning]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        out.heading(f"WARNING  {', '.join(names[:MOST_NAMED])}{more}: {warning}")


def show_ledger(out: Output, accounts: Ledger | Sequence[dict[str, Any]]) -> None:
    """Print the ledger of one sample, of its first target, as a table.

    Parameters
    ----------
    out : where it goes
    accounts : the ledger, or its rows
    """
    rows = accounts.rows() if isinstance(accounts, Ledger) else accounts
    lines = []
    for row in rows:
        first = [float(np.reshape(row[name], -1)[0]) for name in (*COLUMNS, "rounding", "inputs_abs")]
        lines.append((row["node"], row["rule"], *(number_text(value) for value in first)))
    out.table(("node", "rule", *COLUMNS, "rounding", "Σ|R| below"), lines, right=range(2, 9), spare=(8, 7, 2, 1))
