"""What enters a network: number types, shapes of samples, and arrays of a caller's in the network's number type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import Array, Shape, check_finite, fractions, integer, is_exact, unmasked
from ..errors import GraphError, LrpError, NumberTypeError, ShapeError, UnknownNameError, unknown


def number_type(dtype: Any) -> np.dtype[Any]:
    """A number type that models compute in.

    Raises
    ------
    NumberTypeError
        Where it is none.
    """
    try:
        kind: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(np.void)
    if kind not in (np.float32, np.float64, np.dtype(object)):
        raise NumberTypeError(f"a model computes in float64, float32 or object (Fraction), not {dtype!r}")
    return kind


def cast_input(value: Any, name: str, dtype: np.dtype[Any], takes_integers: bool = False) -> Array:
    """One input, checked, in the model's number type; `takes_integers`: whether whole numbers are, too."""
    is_rational = dtype.hasobject
    title = f"input {name!r}"
    try:
        array = np.asarray(unmasked(_on_host(value, title), title))
    except ValueError as error:
        raise ShapeError(f"{title} is no array of numbers: {error}") from None
    if array.dtype.kind in "iub" and (takes_integers or array.dtype != np.uint8):
        return _of_integers(array, title, dtype)
    if array.dtype == np.uint8:
        to = "object" if is_rational else f"np.{dtype.name}"
        raise NumberTypeError(
            f"{title} has the number type uint8; convert it, as in x.astype({to}), or x / 255 where the network was trained on "
            "pixels from 0 to 1"
        )
    if array.dtype.kind not in "fO":
        raise NumberTypeError(f"{title} has the number type {array.dtype}; floating point numbers (or Fractions) are needed")
    if is_exact(array) and not is_rational:
        raise NumberTypeError(
            f"{title} holds Python objects and the model computes in {dtype}: model.astype(object) computes in exact "
            f"rationals, x.astype(np.{dtype.name}) rounds the input"
        )
    check_finite(array, title)
    if is_rational:
        try:
            return fractions(array)
        except LrpError as error:
            raise error.at(title) from None
    if array.dtype == dtype:
        return np.array(array, order="C")  # a copy: what is computed and kept must not follow the caller's buffer
    with np.errstate(over="ignore"):
        cast = np.asarray(array, dtype=dtype, order="C")
    check_finite(cast, f"{title}, cast to {dtype},")
    return cast


def _on_host(value: Any, title: str) -> Any:
    """The array behind a tensor of PyTorch or a table of pandas; neither package is imported."""
    package = type(value).__module__.partition(".")[0]
    if package == "torch" and hasattr(value, "detach"):
        tensor = value.detach().cpu()
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    if package == "pandas" and hasattr(value, "dtypes") and hasattr(value, "columns"):
        wrong = [str(name) for name, kind in zip(value.columns, value.dtypes, strict=True) if kind.kind not in "iufb"]
        if wrong:
            raise NumberTypeError(f"{title}: columns of the table hold no numbers: {', '.join(wrong[:10])}")
        return value.to_numpy(dtype=np.float64) if len({kind.kind for kind in value.dtypes}) > 1 else value.to_numpy()
    return value


def _of_integers(array: Array, title: str, dtype: np.dtype[Any]) -> Array:
    """Integers in the model's number type, which must hold each of them."""
    if dtype.hasobject:
        return fractions(array.astype(object))
    cast = np.asarray(array, dtype=dtype, order="C")
    most = 2 ** (np.finfo(dtype).nmant + 1)
    if array.dtype.itemsize > 2 and array.size and not -most <= int(array.min()) <= int(array.max()) <= most:
        raise NumberTypeError(f"{title} holds integers beyond ±{most}, which {dtype} cannot tell apart; model.astype(np.float64)")
    return cast


def sample_shape(shape: Any, name: str) -> Shape:
    """The shape of one sample of an input."""
    if not isinstance(shape, (tuple, list)):
        raise GraphError(f"input_shape of {name!r} is a tuple such as (3, 224, 224), without the batch axis; found {shape!r}")
    return tuple(integer(extent, f"an extent of input_shape of {name!r}", 0) for extent in shape)


def by_input(value: Any, inputs: tuple[str, ...]) -> dict[str, Any]:
    """A mapping by input name from a mapping, from one value for the only input, or from None."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        for name in value:
            if name not in inputs:
                raise unknown("input", name, inputs)
        return dict(value)
    if len(inputs) == 1:
        return {inputs[0]: value}
    raise GraphError(f"expected a mapping from the inputs {', '.join(inputs)}, found {value!r}")


def for_inputs(x: Any, inputs: tuple[str, ...]) -> dict[str, Any]:
    """What there is for each input, from a mapping or, where there is one input, from what there is for it.

    Parameters
    ----------
    x : a mapping from the names, or what there is for the only input
    inputs : the names, all of which are needed

    Raises
    ------
    UnknownNameError
        Where one is missing, or is none.
    """
    if isinstance(x, Mapping):
        for name in x:
            if name not in inputs:
                raise unknown("input", name, inputs)
        missing = [name for name in inputs if name not in x]
        if missing:
            raise UnknownNameError(f"the model also needs the input(s) {', '.join(missing)}")
        return {name: x[name] for name in inputs}
    if len(inputs) > 1:
        raise UnknownNameError(f"the model has {len(inputs)} inputs; give a mapping with {', '.join(inputs)}")
    return {inputs[0]: x}
