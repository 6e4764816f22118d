"""Where in an image relevance lies: nine named places, three rows of three."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import LrpError
from ..propagate.explanation import Explanation
from .network import Network
from .output import Output

ROWS, COLUMNS = ("upper", "centre", "lower"), ("left", "centre", "right")
_LEAST = 6  # rows and columns of an image: with fewer, a place is hardly more than a pixel
_NAMED = 3  # places that a line names


def layout_of(network: Network) -> str | None:
    """Where an image's rows and columns lie among the axes of a network's input: "CHW", "HWC" or "HW"; None: it is no image.

    Parameters
    ----------
    network : the network
    """
    images, kinds = network.images.fitted, network.kinds
    if isinstance(images, LrpError) or kinds.sequences or kinds.tables or len(network.model.inputs) != 1:
        return None
    return images.layout


def add_regions(record: dict[str, Any], explanation: Explanation, layout: str | None) -> None:
    """Put the relevance of nine places into the record of an explanation, for each of its targets.

    A place has the sum of the relevance in it, over all channels, and as its share that sum by Σ|sum| over the places: shares
    lie between −1 and 1, and where no place speaks against the target they add up to 1.

    Parameters
    ----------
    record : of one sample, as `report.record_of` makes it
    explanation : of the sample
    layout : of the image, as `layout_of` says; None: there are no places
    """
    if layout is None:
        return
    relevance = np.asarray(explanation.relevances[explanation.inputs[0]][0], dtype=np.float64)
    maps = relevance if explanation.several else relevance[None]
    if maps.ndim != len(layout) + 1:
        return
    if "C" in layout:
        maps = maps.sum(axis=layout.index("C") + 1)
    if min(maps.shape[1:]) < _LEAST:
        return
    for target, one in zip(record["targets"], maps, strict=True):
        sums = _place_sums(one)
        whole = float(np.abs(sums).sum())
        target["regions"] = [
            {"region": _name(i, j), "relevance": float(sums[i, j]), "share": float(sums[i, j]) / whole if whole else 0.0}
            for i in range(3)
            for j in range(3)
        ]


def _place_sums(image: Array) -> Array:
    """(H, W) as the sums of 3 × 3 places, whose extents differ by one cell at most."""
    rows, columns = (_edges(extent) for extent in image.shape)
    return np.array([[image[a:b, c:d].sum() for c, d in columns] for a, b in rows])


def _edges(extent: int) -> list[tuple[int, int]]:
    cuts = [round(extent * k / 3) for k in range(4)]
    return list(pairwise(cuts))


def _name(row: int, column: int) -> str:
    """The name of a place: "upper left", "centre right"."""
    if (row, column) == (1, 1):
        return "centre"
    return f"{ROWS[row]} {COLUMNS[column]}"


def show_regions(out: Output, regions: list[dict[str, Any]]) -> None:
    """Print the places of an image as a table in their order, in percent.

    Parameters
    ----------
    out : where it goes
    regions : those of a target
    """
    negative = any(region["share"] < 0 for region in regions)
    out.heading("Where its relevance lies in the image" + (" (negative: against it)" if negative else ""))
    cells = [_percent(region["share"]) for region in regions]
    rows = [(row, *cells[3 * i : 3 * i + 3]) for i, row in enumerate(ROWS)]
    out.table(("", *COLUMNS), rows, right=(1, 2, 3))


def regions_text(regions: list[dict[str, Any]], sign: int) -> str:
    """The strongest places of one sign in a line: "upper left 41 %, centre 22 %"; "–" where there are none.

    Parameters
    ----------
    regions : those of a target
    sign : 1 for those that speak for it, −1 for those against it
    """
    found = sorted((r for r in regions if sign * r["share"] > 0), key=lambda r: -abs(r["share"]))[:_NAMED]
    return ", ".join(f"{region['region']} {_percent(region['share'])}" for region in found) or "–"


def strongest_region(regions: list[dict[str, Any]], sign: int) -> str:
    """The strongest place of one sign; "–" where there is none.

    Parameters
    ----------
    regions : those of a target
    sign : 1 for those that speak for it, −1 for those against it
    """
    return regions_text(sorted(regions, key=lambda r: -sign * r["share"])[:1], sign)


def _percent(share: float) -> str:
    """A share to a whole percent; what is under one, to a tenth."""
    return f"{100 * share + 0.0:.{0 if abs(share) >= 0.01 or not share else 1}f} %"  # −0 is 0
