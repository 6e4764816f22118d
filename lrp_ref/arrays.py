"""Number types: the whole library runs on float64, float32 and arrays of `fractions.Fraction`.

Nothing here mixes number types. A parameter enters a computation through `like`, which gives it the number type of the
array that it meets: a Python float that meets a Fraction array means its exact binary value.

`Fraction` is imported where rationals are met: few programs meet any, and importing lrp_ref must stay cheap.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .errors import ExactnessError, NonFiniteError, NumberTypeError, ParameterError
from .held import adopt, held
from .lazy_dataclass import lazy_dataclass

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
Shape: TypeAlias = tuple[int, ...]
Number: TypeAlias = "float | Fraction"


def _rational(value: Any) -> Fraction:
    """One number as a Fraction; strings, which `Fraction` would parse, are no numbers here."""
    from fractions import Fraction

    number = value.item() if isinstance(value, np.generic) else value
    if not isinstance(number, (int, float, Fraction)):
        raise NumberTypeError(f"rationals need numbers, found {number!r}")
    if isinstance(number, float) and not math.isfinite(number):
        raise NonFiniteError(f"rationals need finite numbers, found {number!r}")
    return Fraction(number)


_to_fraction = np.frompyfunc(_rational, 1, 1)


def is_exact(array: Array) -> bool:
    """Whether `array` holds rationals (an object array of `Fraction`).

    Parameters
    ----------
    array : any array
    """
    return array.dtype == object


def fractions(value: Any) -> Array:
    """`value` as an object array of `Fraction`; floats keep their exact binary value."""
    array = np.asarray(value)
    if array.dtype.kind not in "biufO":
        raise NumberTypeError(f"rationals need numbers, found an array of {array.dtype}")
    return np.asarray(_to_fraction(array), dtype=object).reshape(array.shape)


def like(value: Any, array: Array) -> Array:
    """`value` as an array in the number type of `array` (no copy where it has that type already).

    Parameters
    ----------
    value : a number or an array; a float keeps its exact binary value where it becomes a `Fraction`
    array : the array whose number type is wanted, float32, float64 or `object`; its numbers are not read

    Raises
    ------
    NumberTypeError
        Where `array` is neither float32, float64 nor rational: a weight that met integers would be cut off to one.
    """
    if is_exact(array):
        from fractions import Fraction

        number = np.asarray(value)
        if is_exact(number) and all(type(item) is Fraction for item in number.flat):
            return number
        return fractions(number)
    check_type(array)
    return np.asarray(value, dtype=array.dtype)


def check_type(array: Array) -> None:
    """Raise `NumberTypeError` unless `array` holds float32, float64 or Fraction numbers."""
    if not is_exact(array) and array.dtype not in (np.float32, np.float64):
        raise NumberTypeError(f"numbers must be float32, float64 or Fraction, found an array of {array.dtype}")


def zeros(shape: Shape, array: Array) -> Array:
    """Zeros of `shape` in the number type of `array`.

    Parameters
    ----------
    shape : of the new array
    array : the array whose number type is wanted
    """
    if is_exact(array):
        from fractions import Fraction

        return np.full(shape, Fraction(0), dtype=object)
    return np.zeros(shape, dtype=array.dtype)


def positive(a: Array) -> Array:
    """The positive part a⁺ = max(0, a)."""
    return np.maximum(a, like(0, a))


def negative(a: Array) -> Array:
    """The negative part a⁻ = min(0, a), which is negative."""
    return np.minimum(a, like(0, a))


def divide(numerator: Array, denominator: Array, alive: Array) -> Array:
    """numerator / denominator where `alive`, else 0 (0/0 := 0 is decided by the caller, in `alive`)."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    out = zeros(shape, denominator)
    np.divide(numerator, denominator, out=out, where=alive)
    return out


def square_root(a: Array) -> Array:
    """Elementwise square root; of rationals only where it is rational."""
    if not is_exact(a):
        return np.asarray(np.sqrt(a))
    return np.asarray(np.frompyfunc(_rational_root, 1, 1)(a), dtype=object).reshape(a.shape)


def _rational_root(value: Fraction) -> Fraction:
    from fractions import Fraction

    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if top * top != value.numerator or bottom * bottom != value.denominator:
        raise ExactnessError(f"the square root of {value} is not rational")
    return Fraction(top, bottom)


def each_target_times(message: Array, factor: Array) -> Array:
    """A message (N, targets, …) times numbers (N, …) of every sample, its memory in the order of these numbers.

    NumPy chooses the order by both, and with one target otherwise than with several; sums that follow the memory would then
    have other bits.
    """
    if factor.flags.c_contiguous:
        # Two arrays in C order have a product in C order.
        room = None if message.flags.c_contiguous else np.empty(message.shape, np.result_type(message, factor))
        return np.multiply(message, factor[:, None], out=room)
    order = sorted(range(1, factor.ndim), key=lambda axis: -abs(factor.strides[axis]))
    room = np.empty((*message.shape[:2], *(message.shape[axis + 1] for axis in order)), np.result_type(message, factor))
    return np.multiply(message, factor[:, None], out=room.transpose(0, 1, *(2 + order.index(a) for a in range(1, factor.ndim))))


def per_sample(a: Array) -> Array:
    """Σ over everything but the batch axis, shape (N,); floats are added up in float64.

    These sums are accounts (`lrp_ref.ledger`), never relevance, so the wider type promises nothing that the
    result does not have.
    """
    rows = a.reshape(a.shape[0], math.prod(a.shape[1:]))
    return total(rows if is_exact(a) else rows.astype(np.float64, copy=False), (1,))


def total(a: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """Σ over some axes, the same bits for a sample in whatever batch or memory layout it comes.

    NumPy adds in the order of the memory, so the same sample would have other bits in another batch or behind other
    strides; in C order it has not.

    Parameters
    ----------
    a : the array that is summed, floats or rationals
    axes : which axes are summed over
    keepdims : whether they stay, with extent 1
    """
    added = np.asarray(np.asarray(a, order="C").sum(axis=axes, keepdims=keepdims))
    return np.asarray(zeros(added.shape, a) + added) if is_exact(a) else added  # an empty object sum is the int 0


def root_mean_square(rows: Array) -> Array:
    """√(mean z²) of each row of floats (N, n), (N, 1).

    Squares leave the range of floats long before the root does, so rows are scaled by a power of 2, which changes no digit.
    """
    _, exponent = np.frexp(abs(rows).max(axis=1, keepdims=True, initial=0))
    scaled = np.ldexp(rows, -exponent)
    squares = total(scaled * scaled, (1,), keepdims=True) / max(rows.shape[1], 1)
    return np.asarray(np.ldexp(np.sqrt(squares).astype(rows.dtype), exponent))


def sum_to(a: Array, shape: Shape) -> Array:
    """Σ over the axes that broadcasting `shape` to the shape of `a` has added or stretched: its adjoint."""
    added = a.ndim - len(shape)
    axes = tuple(range(added)) + tuple(
        axis + added for axis, extent in enumerate(shape) if extent == 1 and a.shape[axis + added] != 1
    )
    if not axes:
        return a
    return total(a, axes).reshape(shape)


def frozen(array: Array) -> Array:
    """A read-only view of `array`."""
    view = array.view()
    view.setflags(write=False)
    return view


def unmasked(value: Any, title: str) -> Any:
    """`value`, unless numbers of it are masked out: no layer and no rule leaves numbers out, so the mask would be ignored.

    Parameters
    ----------
    value : anything; only a masked array of NumPy with at least one masked number is refused
    title : how the message calls it, such as "input 'input'"

    Raises
    ------
    NumberTypeError
        Where a number is masked; the message says how to fill it.
    """
    if type(value) is not np.ndarray and isinstance(value, np.ndarray) and np.any(getattr(value, "mask", False)):
        raise NumberTypeError(f"{title} is a masked array, and masks are not read: x.filled(value) puts a number in their place")
    return value


def parameter(value: Any, name: str) -> Array:
    """A parameter as a finite array of float32, float64 or Fraction that nobody can write (integers become float64).

    It is a copy, unless it is held by something else already, or was adopted (`lrp_ref.held`).
    """
    try:
        array = source = np.asarray(unmasked(value, name))
    except ValueError as error:
        raise NumberTypeError(f"{name} must be an array of numbers: {error}") from None
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    elif array.dtype.kind == "f" and not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    elif is_exact(array):
        try:
            array = np.array(like(array, array))
        except (NumberTypeError, NonFiniteError) as error:
            raise error.at(name) from None
    if not (is_exact(array) or array.dtype in (np.float32, np.float64)):
        raise NumberTypeError(f"{name} must hold float32, float64 or Fraction numbers, found {array.dtype}")
    check_finite(array, name)
    if array is not source:
        return adopt(array)
    return held(value if array.flags.aligned else array.copy())


def check_finite(array: Array, name: str) -> None:
    """Raise `NonFiniteError` that says where the first NaN or infinity of `array` is."""
    if is_exact(array):
        return
    finite = np.isfinite(array)
    if finite.all():
        return
    count = int(finite.size - np.count_nonzero(finite))
    where = tuple(int(i) for i in np.argwhere(~finite)[0])
    raise NonFiniteError(f"{name} has {count} value(s) that are NaN or infinite, the first {array[where]} at {where}")


def check_number(value: Any, name: str, low: Number | None = None) -> None:
    """Raise `ParameterError` unless `value` is one finite number, at least `low`."""
    if isinstance(value, bool) or not (isinstance(value, (int, float, np.integer, np.floating)) or _is_fraction(value)):
        raise ParameterError(f"{name} must be a number, found {value!r}")
    finite = not isinstance(value, (float, np.floating)) or math.isfinite(value)
    if not finite or (low is not None and value < low):
        raise ParameterError(f"{name} must be finite{'' if low is None else f' and at least {low}'}, found {value!r}")


def _is_fraction(value: Any) -> bool:
    from fractions import Fraction

    return isinstance(value, Fraction)


def integer(value: Any, name: str, low: int | None = None) -> int:
    """`value` as an int; `ParameterError` unless it is an integer (a bool is none), at least `low`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ParameterError(f"{name} must be an integer, found {value!r}")
    if low is not None and value < low:
        raise ParameterError(f"{name} must be at least {low}, found {value!r}")
    return int(value)


def integers(value: Any, name: str) -> tuple[int, ...]:
    """One integer, or several, as a tuple of ints."""
    several = value if isinstance(value, (tuple, list, np.ndarray)) else (value,)
    return tuple(integer(entry, name) for entry in several)


def signs(z: Array) -> Array:
    """The sign of z with s(±0) = +1 (papers: the ε of an ε-rule must never meet a sign of 0)."""
    one = like(1, z)
    return np.where(z < like(0, z), -one, one)


class Stabiliser(ABC):
    """What a rule adds to its denominator z."""

    @abstractmethod
    def __call__(self, z: Array) -> Array:
        """The added e, broadcastable against z."""

    @property
    @abstractmethod
    def formula(self) -> str:
        """The added term as LaTeX."""

    def lost(self, e: Array, z: Array, leading: int = 1) -> Array:
        """Where the stabiliser is lost: e, added to floats z, is not what it should be, since their type has no number so small.

        Parameters
        ----------
        e : what was added, broadcastable against z
        z : the denominators, floats (N, …)
        leading : how many axes tell samples apart: 1, or 2 where targets are the second

        Returns
        -------
        array of truth values, broadcastable against z
        """
        return np.zeros((), dtype=bool)


def _is_lost(epsilon: Number, dtype: Any) -> Array:
    """Whether a floating type has no number near ε > 0."""
    held = float(np.asarray(epsilon, dtype=dtype))
    exact = float(epsilon)
    small = epsilon > 0 and held < float(np.finfo(dtype).tiny)
    return np.asarray(small and (not exact or abs(held - exact) > 4 * float(np.finfo(dtype).eps) * exact))


@lazy_dataclass(frozen=True)
class Exact(Stabiliser):
    """Nothing is added; a zero denominator is dead, 0/0 := 0."""

    def __call__(self, z: Array) -> Array:
        return like(0, z)

    @property
    def formula(self) -> str:
        return "0"


@lazy_dataclass(frozen=True)
class Signed(Stabiliser):
    """e = ε·s(z), s(±0) = +1: pushes z away from 0 (Arras et al. 2019, §11.3.1).

    Parameters
    ----------
    epsilon : ε ≥ 0
    """

    epsilon: Number

    def __call__(self, z: Array) -> Array:
        return signs(z) * like(self.epsilon, z)

    def lost(self, e: Array, z: Array, leading: int = 1) -> Array:
        return _is_lost(self.epsilon, z.dtype)

    @property
    def formula(self) -> str:
        return rf"{self.epsilon}\,s(z_k)"


@lazy_dataclass(frozen=True)
class Unsigned(Stabiliser):
    """e = ε whatever the sign of z (Montavon et al. 2019, §10.2.1); vanishes against z = −ε.

    Parameters
    ----------
    epsilon : ε ≥ 0
    """

    epsilon: Number

    def __call__(self, z: Array) -> Array:
        return like(self.epsilon, z)

    def lost(self, e: Array, z: Array, leading: int = 1) -> Array:
        return _is_lost(self.epsilon, z.dtype)

    @property
    def formula(self) -> str:
        return f"{self.epsilon}"


@lazy_dataclass(frozen=True)
class Relative(Stabiliser):
    """e = r·rms(z)·s(z), the root mean square over all axes but the batch, per sample.

    The "0.25 std" of Montavon et al. 2019, Fig. 10.4. Unsigned: without the factor s(z).

    Parameters
    ----------
    fraction : r ≥ 0
    signed : whether e has the sign of z
    """

    fraction: Number
    signed: bool = True

    def __call__(self, z: Array) -> Array:
        if is_exact(z):
            raise ExactnessError("an ε relative to the root mean square of z is not rational")
        rms = root_mean_square(z.reshape(z.shape[0], math.prod(z.shape[1:])))
        size = rms.reshape((-1,) + (1,) * (z.ndim - 1)) * like(self.fraction, z)
        return np.asarray(size * signs(z) if self.signed else size)

    def lost(self, e: Array, z: Array, leading: int = 1) -> Array:
        some = (z != 0).any(axis=tuple(range(leading, z.ndim)), keepdims=True)
        return np.asarray((self.fraction > 0) & some & (abs(e) < np.finfo(z.dtype).tiny))

    @property
    def formula(self) -> str:
        return rf"{self.fraction}\,\mathrm{{rms}}(z)" + (r"\,s(z_k)" if self.signed else "")
