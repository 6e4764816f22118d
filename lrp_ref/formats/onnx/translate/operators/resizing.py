"""Padding and resizing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from .....arrays import Array, Shape
from .....errors import FormatError
from .....layers import Identity, Pad, PadWith, Resize, Slice, Upsample
from ..builder import Tensor
from ..operator_call import Call
from ..registry import Operator, versions

# --- padding ----------------------------------------------------------------------------------------------------------------


def _pad(call: Call) -> Tensor:
    x = call.tensor()
    rank = call.rank(x)
    pads = call.listed(1, "pads", 11) or ()
    value = (call.number("value", 0.0) if call.version < 11 else call.scalar(2)) or 0.0
    axes = call.integer_list(3) if call.version >= 18 else None
    axes = tuple(range(rank)) if axes is None else tuple(a + rank if a < 0 else a for a in axes)
    if len(pads) != 2 * len(axes) or len(set(axes)) != len(axes) or any(not 0 <= a < rank for a in axes):
        raise FormatError(f"pads {pads} do not fit {len(axes)} of {rank} axes")
    pairs = dict(zip(axes, zip(pads[: len(axes)], pads[len(axes) :], strict=True), strict=True))
    if call.lead and any(pairs.pop(0, (0, 0))):
        raise FormatError("it adds samples along the batch axis")
    sample = [pairs.get(axis + call.lead, (0, 0)) for axis in range(len(x.shape))]
    return _padded(call, x, sample, call.text("mode", "constant"), value)


def _padded(call: Call, x: Tensor, pairs: list[tuple[int, int]], mode: str, value: float) -> Tensor:
    cropped = [(max(0, -before), max(0, -after)) for before, after in pairs]
    if any(b + a >= e for (b, a), e in zip(cropped, x.shape, strict=True) if b + a):
        raise FormatError(f"pads {pairs} leave nothing of samples of shape {x.shape}")
    for axis, (before, after) in enumerate(cropped, start=1):
        if before or after:
            x = call.emit(Slice(before, x.shape[axis - 1] - after, axis), x, suffix=f"crop_{axis}")
    grown = tuple((max(0, before), max(0, after)) for before, after in pairs)
    call.builder.check(tuple(e + b + a for e, (b, a) in zip(x.shape, grown, strict=True)), "its output")
    if not any(map(any, grown)):
        return call.emit(Identity(), x)
    if mode == "constant" and value == 0 and 2 <= len(grown) <= 4 and not any(grown[0]):
        return call.emit(Pad(grown[1:]), x)
    return call.emit(PadWith(grown, mode, value), x)


# --- resizing ---------------------------------------------------------------------------------------------------------------


def _listed(constant: Array) -> list[float]:
    """A constant of a number or two for each axis as a list."""
    if constant.size > 64:
        raise FormatError(f"a constant of shape {constant.shape} holds more numbers than there are axes")
    return [float(value) for value in constant.reshape(-1)]


def _upsample(call: Call) -> Tensor:
    x = call.tensor()
    scales = call.node.attributes.get("scales", ()) if call.version < 9 else _listed(call.constant(1))
    return _resized(call, x, [float(s) for s in scales], None, call.text("mode", "nearest"), "asymmetric", "floor")


def _resize_10(call: Call) -> Tensor:
    return _resized(call, call.tensor(), _listed(call.constant(1)), None, call.text("mode", "nearest"), "asymmetric", "floor")


def _resize(call: Call) -> Tensor:
    x = call.tensor()
    rank = call.rank(x)
    scales, sizes = call.optional_constant(2), call.integer_list(3)
    factors = _listed(scales) if scales is not None and scales.size else None
    axes = call.integers("axes", tuple(range(rank)))
    axes = tuple(a + rank if a < 0 else a for a in axes)
    per_axis = sizes if factors is None else factors
    if per_axis is None or len(per_axis) != len(axes) or any(not 0 <= a < rank for a in axes):
        raise FormatError("it needs one scale or one size for each axis")
    full = call.builder.full_shape(x)
    scales_by_axis: list[float] | None
    extents: list[int] | None
    if factors is not None:
        by_axis = dict(zip(axes, factors, strict=True))
        scales_by_axis, extents = [by_axis.get(axis, 1.0) for axis in range(rank)], None
    else:
        assert sizes is not None
        scales_by_axis, extents = _fitted(call, full, dict(zip(axes, sizes, strict=True)))
    coordinates = call.text("coordinate_transformation_mode", "half_pixel")
    rounding = call.text("nearest_mode", "round_prefer_floor")
    roi = _roi(call, x, axes) if coordinates == "tf_crop_and_resize" else None
    return _resized(call, x, scales_by_axis, extents, call.text("mode", "nearest"), coordinates, rounding, roi)


def _roi(call: Call, x: Tensor, axes: Sequence[int]) -> tuple[tuple[float, float], ...]:
    """The part of each axis of a sample that is shown, from the input `roi`: all starts, then all ends."""
    bounds = _listed(call.constant(1))
    if len(bounds) != 2 * len(axes):
        raise FormatError(f"a roi of {len(bounds)} numbers does not fit {len(axes)} axes")
    pairs = dict(zip(axes, zip(bounds[: len(axes)], bounds[len(axes) :], strict=True), strict=True))
    if call.lead and pairs.get(0, (0, 1)) != (0, 1):
        raise FormatError("it cuts samples out along the batch axis")
    # An axis of one cell is shown as it is, whatever part of it.
    return tuple(pairs.get(axis + call.lead, (0.0, 1.0)) if extent > 1 else (0.0, 1.0) for axis, extent in enumerate(x.shape))


def _fitted(call: Call, full: Sequence[int], sizes: dict[int, int]) -> tuple[list[float] | None, list[int]]:
    """Scales (None: those that follow from the extents) and extents, by the policy for the aspect ratio."""
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return None, [sizes.get(axis, extent) for axis, extent in enumerate(full)]
    if policy not in ("not_larger", "not_smaller"):
        raise FormatError(f"the attribute keep_aspect_ratio_policy is {policy!r}, which is not supported")
    ratios = [Fraction(size, full[axis]) for axis, size in sizes.items()]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    extents = [math.floor(scale * e + Fraction(1, 2)) if axis in sizes else e for axis, e in enumerate(full)]
    return [float(scale) if axis in sizes else 1.0 for axis in range(len(full))], extents


def _repeats(shape: Shape, sample: Shape, factors: tuple[float, ...] | None) -> tuple[int, ...]:
    """How often each spatial axis (one to three) is repeated, in whole numbers; empty where it is not."""
    counts = [t // e if e and t % e == 0 else 0 for e, t in zip(shape, sample, strict=True)]
    exact = factors is None or all(f == count for f, count in zip(factors, counts, strict=True))
    return tuple(counts[1:]) if exact and min(counts, default=0) > 0 and counts[0] == 1 and 2 <= len(counts) <= 4 else ()


def _resized(
    call: Call,
    x: Tensor,
    scales: list[float] | None,
    extents: list[int] | None,
    mode: str,
    coordinates: str,
    rounding: str,
    roi: tuple[tuple[float, float], ...] | None = None,
) -> Tensor:
    full = call.builder.full_shape(x)
    if scales is not None and (len(scales) != len(full) or not all(0 < s < 1e6 for s in scales)):
        raise FormatError(f"scales {scales} do not fit {len(full)} axes")
    if extents is None:
        assert scales is not None
        extents = [math.floor(Fraction(s) * e) if s != 1 else e for s, e in zip(scales, full, strict=True)]
    sample = call.sample(extents)
    call.builder.check(sample, "its output")
    factors = None if scales is None else tuple(scales[call.lead :])
    repeats = _repeats(x.shape, sample, factors)
    if mode == "nearest" and repeats and (coordinates, rounding) in _REPEATS:
        return call.emit(Upsample(repeats), x)
    mode = {"bilinear": "linear"}.get(mode, mode)
    layer = Resize(
        sample,
        factors,
        mode,
        coordinates,
        rounding,
        call.number("cubic_coeff_a", -0.75),
        bool(call.integer("exclude_outside", 0)),
        bool(call.integer("antialias", 0)),
        roi,
        call.number("extrapolation_value", 0.0),
    )
    return call.emit(layer, x)


#: Nearest-neighbour conventions that repeat each cell where the scale is a whole number.
_REPEATS = {("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil")}


_LATE = (21, 23, 24, 25)

TABLE: dict[tuple[str, int], Operator] = {
    **versions("Pad", _pad, 2, 11, 13, 18, 19, *_LATE),
    **versions("Resize", _resize_10, 10),
    **versions("Resize", _resize, 11, 13, 18, 19),
    **versions("Upsample", _upsample, 7, 9, 10),
}
