"""One explained sample as plain data, and that data as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..ledger import COLUMNS, Ledger
from ..propagate.explanation import Explanation
from ..propagate.share import percent
from .coloured_words import readings_of, show_legend, show_words
from .output import Output, number_text

STRONGEST = 5
MOST_REMARKS = 5  # samples whose remarks a table of many is followed by
TOTALS = ("inputs", "bias", "stabiliser", "unassigned", "rounding")
_AXES = {1: "", 2: " (row, column)", 3: " (channel, row, column)"}


def record_of(explanation: Explanation, ledger: bool, labels: Sequence[str] | None = None) -> dict[str, Any]:
    """An explanation of one sample as plain data: prediction, and for each target value, accounts and features.

    Parameters
    ----------
    explanation : of one sample, with its ledger
    ledger : whether all lines of the ledger are wanted
    labels : the names of the classes
    """
    scores = np.asarray(explanation.prediction[0], dtype=np.float64)
    best = np.argsort(-scores.reshape(-1), kind="stable")[:STRONGEST].tolist()
    record: dict[str, Any] = {
        "predicted": _index_of(best[0], scores.shape),
        "best": [
            {"output": _index_of(k, scores.shape), "label": None if labels is None else labels[k], "score": float(scores.flat[k])}
            for k in best
        ],
        "prediction": scores.tolist(),
        "targets": [_target(explanation, t, labels) for t in range(np.atleast_1d(explanation.value[0]).size)],
        "remarks": list(explanation.remarks),
        "notes": list(explanation.ledger.flags) if explanation.ledger else [],
        "backend": explanation.backend,
        "precision": explanation.precision,
    }
    if ledger and explanation.ledger:
        record["ledger"] = explanation.ledger.rows()
    return record


def _target(explanation: Explanation, t: int, labels: Sequence[str] | None) -> dict[str, Any]:
    def pick(array: Array) -> float:
        return float(np.atleast_1d(array[0])[t])

    accounts = explanation.ledger
    assert accounts is not None, "the command line always asks for the ledger"
    totals = (accounts.relevance, accounts.bias, accounts.stabiliser, accounts.unassigned, accounts.rounding)
    relevance = {name: explanation.relevances[name][0] for name in explanation.inputs}
    if explanation.several:
        relevance = {name: array[t] for name, array in relevance.items()}
    values = {name: explanation.activations[name][0] for name in explanation.inputs}
    up, down = strongest(relevance, values)
    share = explanation.share_arrived
    target = None if explanation.target is None else np.atleast_1d(explanation.target[0])[t]
    return {
        "target": None if target is None else _index_of(int(target), explanation.prediction.shape[1:]),
        "label": None if target is None or labels is None else labels[int(target)],
        "value": pick(explanation.value),
        "share_arrived": None if share is None or np.isnan(pick(share)) else pick(share),
        "ledger": {"start": pick(accounts.start), **{n: pick(a) for n, a in zip(TOTALS, totals, strict=True)}},
        "positive": up,
        "negative": down,
    }


def _index_of(flat: int, shape: tuple[int, ...]) -> int | list[int]:
    return flat if len(shape) < 2 else [int(i) for i in np.unravel_index(flat, shape)]


def strongest(
    relevance: dict[str, Array], values: dict[str, Array], count: int = STRONGEST
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The features with the largest positive and the most negative relevance, strongest first; zeros are neither.

    Parameters
    ----------
    relevance : by input, each in the shape of one sample
    values : of the inputs, in the same shapes
    count : how many of each sign
    """
    features: list[dict[str, Any]] = []
    for name, array in relevance.items():
        flat = np.asarray(array, dtype=np.float64).reshape(-1)
        for i in sorted({*smallest(flat, count), *smallest(-flat, count)}):
            index = [int(k) for k in np.unravel_index(i, array.shape)]
            x = float(values[name].reshape(-1)[i])
            features.append({"input": name, "feature": index, "x": x, "relevance": float(flat[i])})
    features.sort(key=lambda entry: -entry["relevance"])
    up = [entry for entry in features if entry["relevance"] > 0][:count]
    down = [entry for entry in reversed(features) if entry["relevance"] < 0][:count]
    return up, down


def smallest(values: Array, count: int) -> list[int]:
    """The flat indices of the smallest values, the first of those that are equal.

    Parameters
    ----------
    values : (F,)
    count : how many
    """
    if values.size <= count:
        return list(range(values.size))
    last = np.partition(values, count - 1)[count - 1]  # sorting all of them takes ten times as long
    below = np.flatnonzero(values < last)
    return [*below.tolist(), *np.flatnonzero(values == last)[: count - below.size].tolist()]


def output_name(output: Any, label: str | None) -> str:
    """The name of an output: its index, and its class where that has a name.

    Parameters
    ----------
    output : the index
    label : the name of the class
    """
    return str(output) if label is None else f"{output} {label}"


def feature_name(entry: dict[str, Any], named: bool) -> str:
    """The name of a feature in a table: 12, [3, 4], or input[3, 4] where there are several inputs.

    Parameters
    ----------
    entry : a feature of `strongest`
    named : whether its input is named
    """
    index = entry["feature"]
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
    named = f"output {output}" if label is None else f"output {output}, {label}"
    if record["head"] == "log-odds":
        return f"the log-odds of {named}"
    if record["head"] == "probability" and record["contrast"] is None:
        return f"the probability of {named}"
    against = "" if record["contrast"] is None else f" minus that of output {record['contrast']}"
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
    out.say(f"prediction  {ranked[0]}" + (f", then {', '.join(ranked[1:])}" if len(ranked) > 1 else ""))
    sentences = readings_of(record)
    for t, target in enumerate(record["targets"]):
        out.say(f"explained   {question_text(record, target)}, {number_text(target['value'], 6)}{_arrival_text(target)}")
        if sentences:
            out.say()
            show_words(out, sentences[t : t + 1], numbers, captions=False)
        else:
            _show_strongest(out, target, bool(record.get("sequence")))
        out.say()
        out.say(f"ledger      {balance(target['ledger'])}")
    if sentences:
        show_legend(out, numbers)
    for remark in record["remarks"]:
        out.say(f"remark      {remark}")
    for note in record["notes"]:
        out.say(f"note        {note}")


def _arrival_text(target: dict[str, Any]) -> str:
    """How much of the value arrives at the inputs, where that means something."""
    share = target.get("share_arrived")
    return "" if share is None else f", of which {percent(share)} arrives at the inputs"


def _show_strongest(out: Output, target: dict[str, Any], sequence: bool) -> None:
    entries = [*target["positive"], *target["negative"]]
    several = len({entry["input"] for entry in entries}) > 1
    axes = _AXES.get(len(entries[0]["feature"]), "") if entries else ""
    axes = " (step, feature)" if sequence else axes
    for title, side in (("The strongest features for it", "positive"), ("The strongest against it", "negative")):
        out.heading(title if target[side] else f"{title}: none")
        if target[side]:
            rows = [(feature_name(e, several), number_text(e["x"]), number_text(e["relevance"])) for e in target[side]]
            out.table((f"feature{axes}", "x", "relevance"), rows, right=(1, 2))


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
            ends = [feature_name(target[side][0], False) if target[side] else "–" for side in ("positive", "negative")]
            totals = [number_text(target["ledger"][name]) for name in TOTALS[:-1]]
            value = number_text(target["value"])
            share = target.get("share_arrived")
            arrived = "–" if share is None else percent(share)
            best = record["best"][0]["label"] if record.get("best") else None
            names = [output_name(record["predicted"], best), output_name(target["target"], target.get("label"))]
            rows.append((record["name"], *names, value, arrived, *totals, *ends, record["status"]))
    labelled = any(target.get("label") for record in records for target in record.get("targets", ()))
    out.table(columns, rows, right=range(3 if labelled else 1, 9), spare=(8, 7, 6, 10, 9))
    show_remarks(out, records)


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
    out.table(("node", "rule", *COLUMNS, "rounding", "Σ|R| below"), lines, right=range(2, 9), spare=(7, 8, 1))
