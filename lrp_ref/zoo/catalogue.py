"""What is in the zoo, and how it is read.

Both networks were trained by `examples/train_digits.py`, which states the protocol; `NOTICE.md` in this folder says
where the images come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from ..arrays import Array, frozen
from ..errors import unknown
from ..formats import npz
from ..model import Model

#: Each network with one line about it. The accuracies are those of the first split, on 540 images not trained on.
NETWORKS = {
    "digits": "8×8 digits: 3 convolutions, average pooling, no positive bias; 99.8 % on held-out digits",
    "digits_bn": "8×8 digits: 3 convolutions with batch norm, max pooling; 100 % on held-out digits",
}


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Digits that neither network was trained on.

    Parameters
    ----------
    images : float32 (10, 1, 8, 8) in [0, 1], the first test image of each class
    labels : int64 (10,), 0 to 9 in this order
    indices : int64 (10,), where the images stand in `sklearn.datasets.load_digits()`
    test_part : int64 (540,), where all images of the first split's test part stand there, in the split's order
    """

    images: Array
    labels: Array
    indices: Array
    test_part: Array


def names() -> tuple[str, ...]:
    """The networks that `load` knows."""
    return tuple(NETWORKS)


def load(name: str) -> Model:
    """One network, read from the package: input (N, 1, 8, 8) in [0, 1], output (N, 10) scores.

    Parameters
    ----------
    name : one of `names()`

    Raises
    ------
    UnknownNameError
        No network has that name; the message gives the nearest.
    """
    if name not in NETWORKS:
        raise unknown("network of the zoo", name, NETWORKS)
    with _file(f"{name}.npz") as path:
        return npz.load(path)


def digits() -> HeldOut:
    """Ten handwritten digits, one of each class, that neither network was trained on."""
    with _file("held_out.npz") as path, np.load(path, allow_pickle=False) as stored:
        return HeldOut(**{field: frozen(stored[field]) for field in HeldOut.__dataclass_fields__})


@contextmanager
def _file(name: str) -> Iterator[Path]:
    """A file of this folder as a path, also where the package is inside a zip archive."""
    # `__package__`, not a name written out: the package may have been copied into another tree.
    with resources.as_file(resources.files(__package__).joinpath(name)) as path:
        yield path
