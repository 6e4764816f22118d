"""One explained sample as plain data: the prediction, and for each target its value, its accounts, its strongest features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..ledger import Ledger
from ..propagate.explanation import Explanation

STRONGEST = 5
TOTALS = ("inputs", "bias", "stabiliser", "unassigned", "rounding")


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
    if explanation.method != "LRP":
        record |= {"method": explanation.method, "parameters": dict(explanation.parameters)}
    if ledger and explanation.ledger:
        record["ledger"] = explanation.ledger.rows()
    return record


def _target(explanation: Explanation, t: int, labels: Sequence[str] | None) -> dict[str, Any]:
    def pick(array: Array) -> float:
        return float(np.atleast_1d(array[0])[t])

    accounts = explanation.ledger
    relevance = {name: explanation.relevances[name][0] for name in explanation.inputs}
    if explanation.several:
        relevance = {name: array[t] for name, array in relevance.items()}
    values = {name: explanation.activations[name][0] for name in explanation.inputs}
    up, down = strongest(relevance, values)
    share = explanation.share_arrived if explanation.method == "LRP" else None
    target = None if explanation.target is None else np.atleast_1d(explanation.target[0])[t]
    return {
        "target": None if target is None else _index_of(int(target), explanation.prediction.shape[1:]),
        "label": None if target is None or labels is None else labels[int(target)],
        "value": pick(explanation.value),
        "share_arrived": None if share is None or np.isnan(pick(share)) else pick(share),
        "ledger": None if accounts is None else _totals(accounts, pick),
        **({} if explanation.method == "LRP" else {"total": pick(explanation.total), "shared": _shared(explanation, pick)}),
        "positive": up,
        "negative": down,
    }


def _totals(accounts: Ledger, pick: Callable[[Array], float]) -> dict[str, float]:
    """The columns of a ledger, added up, of one target."""
    totals = (accounts.relevance, accounts.bias, accounts.stabiliser, accounts.unassigned, accounts.rounding)
    return {"start": pick(accounts.start), **{n: pick(a) for n, a in zip(TOTALS, totals, strict=True)}}


def _shared(explanation: Explanation, pick: Callable[[Array], float]) -> float | None:
    """What the relevances of a method share out; None: nothing."""
    return None if explanation.shared is None else pick(explanation.shared)


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
        # A method may have one number for all channels, which has no x of its own.
        x_of = values[name].reshape(-1) if values[name].shape == array.shape else np.full(flat.shape, np.nan)
        for i in sorted({*smallest(flat, count), *smallest(-flat, count)}):
            index = [int(k) for k in np.unravel_index(i, array.shape)]
            x = None if np.isnan(x_of[i]) else float(x_of[i])
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


def add_names(record: dict[str, Any], columns: Sequence[str] | None) -> None:
    """Put the names of a table's columns beside the features of a record; they are the last axis of a sample.

    Parameters
    ----------
    record : of one sample, as `record_of` makes it
    columns : the names; None: the features have none
    """
    if not columns:
        return
    for target in record["targets"]:
        for entry in (*target["positive"], *target["negative"]):
            *steps, column = entry["feature"]
            entry["name"] = ", ".join([*(f"step {step}" for step in steps), columns[column]])
