"""What is typed for options that hold numbers, extents, or a value for each name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import ParameterError
from ..preprocess import ratio
from .options import RECIPE


def by_name(texts: Sequence[str], option: str, parse: Callable[[str, str], Any]) -> Any:
    """One value for all inputs, or a mapping from NAME=VALUE; None where nothing is typed.

    Parameters
    ----------
    texts : what is typed, once for each time that the option is repeated
    option : its name, without hyphens in front
    parse : from a text and the option's name to a value, such as `extents`

    Raises
    ------
    ParameterError
        Where a text is no value, or a name is said twice.
    """
    if not texts:
        return None
    if len(texts) == 1 and "=" not in texts[0]:
        return parse(texts[0], option)
    return pairs(texts, option, parse)


def pairs(texts: Sequence[str], option: str, parse: Callable[[str, str], Any]) -> dict[str, Any]:
    """A mapping from texts such as NAME=VALUE; names may hold an = themselves.

    Parameters
    ----------
    texts, option, parse : as `by_name` takes them

    Raises
    ------
    ParameterError
        Where a text has another form, or a name is said twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, sign, typed = text.rpartition("=")
        if not sign or not name:
            raise ParameterError(f"--{option} takes NAME=VALUE, found {text!r}")
        if name in values:
            raise ParameterError(f"--{option} says {name!r} twice")
        values[name] = parse(typed, option)
    return values


def extents(text: str, option: str) -> tuple[int, ...]:
    """Extents such as 224 or 3x224x224, as a tuple.

    Parameters
    ----------
    text : what is typed
    option : the name of the option

    Raises
    ------
    ParameterError
        Where they are no integers, or not positive.
    """
    numbers = _integers(text, option)
    if min(numbers) < 1:
        raise ParameterError(f"--{option} takes positive extents, found {text!r}")
    return numbers


def axis(text: str, option: str) -> int:
    """The number of an axis.

    Parameters
    ----------
    text : what is typed
    option : the name of the option

    Raises
    ------
    ParameterError
        Where the text is no such number.
    """
    if not text.isdecimal():
        raise ParameterError(f"--{option} takes the number of an axis, found {text!r}")
    return int(text)


def side(text: str, option: str) -> int:
    """The number of one of two inputs, 0 or 1.

    Parameters
    ----------
    text : what is typed
    option : the name of the option

    Raises
    ------
    ParameterError
        Where the text is neither.
    """
    if text not in ("0", "1"):
        raise ParameterError(f"--{option} takes NODE=0 or NODE=1, found {text!r}")
    return int(text)


def constant(text: str, option: str) -> float | int:
    """The number at which an input is held.

    Parameters
    ----------
    text : what is typed
    option : the name of the option

    Raises
    ------
    ParameterError
        Where the text is no number.
    """
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        raise ParameterError(f"--{option} holds an input at a number, found {text!r}") from None


def image_parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a `Preprocessing` that the options RECIPE say, by name.

    Parameters
    ----------
    options : the texts of all of them, None where nothing is typed

    Raises
    ------
    ParameterError
        Where a text is no value of its parameter.
    """
    return {name: _image_parameter(name, options[name]) for name in RECIPE if options[name] is not None}


def _image_parameter(name: str, text: str) -> Any:
    if name in ("mean", "std"):
        return tuple(_float(part, name) for part in text.split(","))
    if name == "scale":
        return ratio(text)
    if name == "order" or text == "square":
        return text
    if name == "crop" and "." in text:
        return _float(text, name)
    numbers = _integers(text, name)
    return numbers[0] if len(numbers) == 1 else numbers


def _float(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"--{option} takes numbers, found {text!r}") from None


def _integers(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.lower().replace(",", "x").split("x"))
    except ValueError:
        raise ParameterError(f"--{option} takes extents such as 224 or 3x224x224, found {text!r}") from None
