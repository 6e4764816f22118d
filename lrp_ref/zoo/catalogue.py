"""The networks and digits of the zoo, and how they are read.

The networks were trained by `examples/train_digits.py` and `examples/train_sentences.py`, which state the protocols;
`NOTICE.md` in this folder says where the images come from.
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
from ..network.model import Model

#: Each network with one line about it. The accuracies are on 540 images or 1500 sentences that it was not trained on.
NETWORKS = {
    "digits": "8×8 digits: 3 convolutions, average pooling, no positive bias; 99.8 % on held-out digits",
    "digits_bn": "8×8 digits: 3 convolutions with batch norm, max pooling; 100 % on held-out digits",
    "sentences": "positive or negative? 78 words of a small grammar, an LSTM of 32 cells; 98.6 % on held-out sentences",
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
    """One network, read from the package.

    Of digits the input is (N, 1, 8, 8) in [0, 1], the output (N, 10) scores; of sentences the input is (N, T), the numbers of
    words as floating point numbers, and the output (N, 2) scores of "negative" and "positive".

    Parameters
    ----------
    name : one of `names()`

    Raises
    ------
    UnknownNameError
        No network has that name; the message gives the nearest.
    """
    check_name(name)
    with file_of(f"{name}.npz") as path:
        return npz.load(path)


def check_name(name: str) -> None:
    """Check that a network has a name.

    Parameters
    ----------
    name : of a network of the zoo, as `names()` lists them

    Raises
    ------
    UnknownNameError
        Where none has; the message gives the nearest.
    """
    if name not in NETWORKS:
        raise unknown("network of the zoo", name, NETWORKS)


def digits() -> HeldOut:
    """Ten handwritten digits, one of each class, that neither network was trained on."""
    with file_of("held_out.npz") as path, np.load(path, allow_pickle=False) as stored:
        return HeldOut(**{field: frozen(stored[field]) for field in HeldOut.__dataclass_fields__})


@contextmanager
def file_of(name: str) -> Iterator[Path]:
    """A context with the path of a file of this folder, also where the package is inside a zip archive.

    Parameters
    ----------
    name : of the file
    """
    # `__package__`, not a name written out: the package may have been copied into another tree.
    with resources.as_file(resources.files(__package__).joinpath(name)) as path:
        yield path
