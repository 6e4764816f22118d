"""How explanations are written: nothing is overwritten unless asked, nothing is left half written."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import render
from ..arrays import Array
from ..errors import ExistingFileError, ParameterError
from ..propagate.explanation import Explanation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Files that hold a picture.
PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".pdf")
SUFFIXES = (*PICTURES, ".npz", ".json", ".html")
DPI = 150


@contextmanager
def atomic_write(path: Path, force: bool = False) -> Iterator[Path]:
    """A temporary path to write to, which becomes `path` when all went well: an interruption leaves no half file.

    Parameters
    ----------
    path : the file that is to be
    force : whether one that is there is replaced

    Raises
    ------
    ExistingFileError
        Where `path` exists and `force` is not set.
    OSError
        Where the disk is full, or the folder cannot be written; the message names the file.
    """
    if path.exists() and not force:
        raise ExistingFileError(f"{path} exists; --force overwrites it")
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two processes may write the same file at once, and each must find its own part again.
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield part
        move_into_place(part, path, force)
    except OSError as error:  # what has no room on the disk says so without a name
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def move_into_place(part: Path, path: Path, force: bool) -> None:
    """Give a file that is complete its name; where that is a link, the file that it leads to is replaced.

    Parameters
    ----------
    part : the file
    path : the name that it gets
    force : whether a file that is there is replaced

    Raises
    ------
    ExistingFileError
        Where `path` exists and `force` is not set, even if it came into being a moment ago.
    """
    if not force:
        try:
            os.link(part, path)
        except FileExistsError:
            raise ExistingFileError(f"{path} exists; --force overwrites it") from None
        except OSError:  # no hard links here
            if path.exists():
                raise ExistingFileError(f"{path} exists; --force overwrites it") from None
        else:
            return  # the other name of the same file is removed by whoever made it
    place = Path(os.path.realpath(path))  # a link stays a link
    try:
        part.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = place.with_name(f".{place.stem}.{secrets.token_hex(4)}.part{place.suffix}")  # on the other file system
        try:
            shutil.copyfile(part, beside)
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class Look:
    """How a picture is drawn.

    Attributes
    ----------
    sheets : what the pictures of one run share
    style : as `render.picture` takes it
    labels : the names of the classes
    shown : the photograph
    channels_last : whether channels are its last axis
    words : a sentence with its relevance, which is drawn as words
    sequence : the input that runs over time, which is drawn so; "" where none does
    columns : the names of its features
    numbers : whether the relevance of words is shown as numbers, too
    """

    sheets: render.Sheets = field(default_factory=lambda: render.Sheets(DPI))
    style: str = "panels"
    labels: Sequence[str] | None = None
    shown: Array | None = None
    channels_last: bool = False
    words: Sequence[render.Reading] = ()
    sequence: str = ""
    columns: Sequence[str] | None = None
    numbers: bool = False


def write(explanation: Explanation, path: Path, force: bool = False, look: Look | None = None) -> None:
    """Write an explanation as a picture, as arrays, or as JSON, by the suffix of `path`.

    Parameters
    ----------
    explanation : of one sample
    path : the file
    force : whether one that is there is replaced
    look : how a picture is drawn

    Raises
    ------
    ExistingFileError
        Where the file is there already.
    MissingExtraError
        Where matplotlib is not installed, and a picture is asked for.
    """
    look = look or Look()
    with atomic_write(path, force) as part:
        if path.suffix in PICTURES:
            _write_picture(explanation, part, look)
        elif path.suffix == ".npz":
            explanation.save(part, overwrite=True)
        else:
            part.write_text(explanation.to_json() + "\n", encoding="utf-8")


def _write_picture(explanation: Explanation, path: Path, look: Look) -> None:
    """Write a picture as pixels, or as lines (.svg, .pdf)."""
    if path.suffix == ".png":
        path.write_bytes(render.png(_pixels(explanation, look), DPI))
    elif path.suffix in (".jpg", ".jpeg"):
        from PIL import Image

        Image.fromarray(_pixels(explanation, look)).save(path, quality=95, subsampling=0, dpi=(DPI, DPI))
    else:
        write_figure(_figure(explanation, look), path)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure; the same figure gives the same bytes.

    Parameters
    ----------
    figure : of matplotlib
    path : the file, of one of PICTURES
    """
    import matplotlib as mpl

    # Without the date, and with ids that do not change.
    dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
    with mpl.rc_context({"svg.hashsalt": "lrp_ref"}):
        figure.savefig(path, dpi=DPI, metadata=dated)


def _pixels(explanation: Explanation, look: Look) -> Array:
    """The pixels of a picture."""
    if look.words or look.sequence:
        return render.pixels(_figure(explanation, look), DPI)
    return look.sheets.pixels(_drawn(explanation, look), look.shown, labels=look.labels, style=look.style)


def _figure(explanation: Explanation, look: Look) -> Figure:
    """A picture as matplotlib has it."""
    if look.words:
        return render.sentences(look.words, numbers=look.numbers)
    if look.sequence:
        return render.sequence(explanation, labels=look.labels, features=look.columns, name=look.sequence)
    return render.picture(_drawn(explanation, look), look.shown, labels=look.labels, style=look.style)


def _drawn(explanation: Explanation, look: Look) -> Explanation:
    return channels_first(explanation) if look.channels_last else explanation


def channels_first(explanation: Explanation) -> Explanation:
    """The same with the channels of images in front, as pictures take them.

    Parameters
    ----------
    explanation : of images whose channels are their last axis
    """

    def moved(array: Array) -> Array:
        return np.moveaxis(array, -1, -3)

    return replace(
        explanation,
        relevances={name: moved(explanation.relevances[name]) for name in explanation.inputs},
        activations={name: moved(array) for name, array in explanation.activations.items()},
    )


def check_suffix(path: Path | None) -> None:
    """Refuse an output of a kind that is not written, before anything is computed.

    Parameters
    ----------
    path : the output; None: there is none

    Raises
    ------
    ParameterError
        Where its suffix is none of SUFFIXES.
    """
    if path is not None and path.suffix not in SUFFIXES:
        raise ParameterError(f"--out {path}: the suffix says what is written, and must be one of {', '.join(SUFFIXES)}")
