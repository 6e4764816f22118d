"""Cases of the layers that networks from files need: for each class some layers with the shapes of their inputs' samples."""

import numpy as np

from lrp_ref import layers as L

RNG = np.random.default_rng(3)


def numbers(*shape, low=-8, high=9):
    """Small dyadic numbers, which are exact in every number type."""
    return RNG.integers(low, high, shape) / 4


CASES = {
    L.Abs: [(L.Abs(), [(3, 2)])],
    L.AdaptiveAvgPool: [
        (L.AdaptiveAvgPool(2), [(2, 5, 3)]),
        (L.AdaptiveAvgPool((3, 1)), [(1, 4, 4)]),
        (L.AdaptiveAvgPool(4), [(2, 3)]),
    ],
    L.AdaptiveMaxPool: [
        (L.AdaptiveMaxPool(2), [(2, 5, 3)]),
        (L.AdaptiveMaxPool((3, 1)), [(1, 4, 4)]),
        (L.AdaptiveMaxPool(4), [(2, 3)]),
    ],
    L.Attach: [
        (L.Attach(numbers(1, 4)), [(3, 4)]),
        (L.Attach(None, numbers(2, 3, 2), 3), [(2, 3, 4)]),
        (L.Attach(numbers(1, 2), numbers(3, 2), 1), [(2, 2)]),
    ],
    L.CELU: [(L.CELU(), [(4, 3)]), (L.CELU(0.5), [(4, 3)]), (L.CELU(-0.5), [(4,)])],
    L.Clip: [(L.Clip(0, 1.5), [(4, 4)]), (L.Clip(low=-0.5), [(5,)]), (L.Clip(high=0.25), [(5,)]), (L.Clip(), [(5,)])],
    L.Compare: [
        (L.Compare(), [(4, 3)]),
        *((L.Compare(relation, numbers(3)), [(4, 3)]) for relation in ("<", "<=", ">", ">=", "==", "!=")),
    ],
    L.DepthToSpace: [(L.DepthToSpace(2), [(8, 2, 3)]), (L.DepthToSpace(2, "CRD"), [(8, 2, 3)]), (L.DepthToSpace(1), [(2, 2, 3)])],
    L.Divide: [(L.Divide(), [(3, 2), (3, 2)]), (L.Divide(), [(3, 2), (1, 2)])],
    L.ELU: [(L.ELU(), [(4, 3)]), (L.ELU(0.5), [(4, 3)])],
    L.Embedding: [(L.Embedding(numbers(5, 3)), [(4,)]), (L.Embedding(numbers(5, 3)), [(2, 2)])],
    L.Erf: [(L.Erf(), [(4, 3)])],
    L.Exp: [(L.Exp(), [(4, 3)])],
    L.Expand: [(L.Expand((3, 2, 4)), [(2, 1)]), (L.Expand((3, 4)), [(3, 4)]), (L.Expand((2, 3, 1, 2)), [(3, 1, 1)])],
    L.Gather: [(L.Gather((2, 0, 2, -1)), [(3, 2)]), (L.Gather((1,), 2), [(3, 2)]), (L.Gather((), 1), [(3, 2)])],
    L.GRU: [
        (L.GRU.from_arrays(numbers(3, 6), numbers(2, 6), numbers(6), numbers(6), return_sequences=True), [(4, 3)]),
        (L.GRU.from_arrays(numbers(2, 3, 6), numbers(2, 2, 6), linear_before_reset=False, reads=("lengths",)), [(5, 3), ()]),
    ],
    L.GlobalLpPool: [(L.GlobalLpPool(), [(2, 3, 4)]), (L.GlobalLpPool(3), [(2, 5)]), (L.GlobalLpPool(1), [(2, 5)])],
    L.GroupNorm: [
        (L.GroupNorm(2, numbers(4), numbers(4)), [(4, 3, 2)]),
        (L.GroupNorm(4), [(4, 5)]),
        (L.GroupNorm(1, numbers(4)), [(4, 3)]),
    ],
    L.HardSigmoid: [(L.HardSigmoid(), [(4, 3)]), (L.HardSigmoid(0.25, 0.75), [(4, 3)])],
    L.HardSwish: [(L.HardSwish(), [(4, 3)])],
    L.InstanceNorm: [(L.InstanceNorm(numbers(2), numbers(2), 0.5), [(2, 3, 3)]), (L.InstanceNorm(), [(2, 4)])],
    L.LRN: [(L.LRN(3, 0.5, 0.75, 2.0), [(5, 2)]), (L.LRN(4, 0.5), [(6, 2, 2)]), (L.LRN(9), [(3,)])],
    L.LSTM: [
        (L.LSTM.from_arrays(numbers(3, 8), numbers(2, 8), numbers(8), return_sequences=True), [(4, 3)]),
        (
            L.LSTM.from_arrays(numbers(2, 3, 8), numbers(2, 2, 8), peepholes=numbers(2, 6), reads=("lengths", "cell")),
            [(5, 3), (), (4,)],
        ),
        (L.LSTM.friendly(numbers(3, 2), numbers(2, 4), numbers(6), "io", direction="reverse", returns="cell"), [(3, 3)]),
    ],
    L.LayerNorm: [
        (L.LayerNorm(1, numbers(4), numbers(4)), [(3, 4)]),
        (L.LayerNorm(2, numbers(3, 4), None, 0.5), [(2, 3, 4)]),
        (L.LayerNorm(1, numbers(4), numbers(4), 0.0, outside=0.5, correction=1), [(3, 4)]),
        (L.LayerNorm(2, None, numbers(4), 0.25, outside=0.5), [(2, 3, 4)]),
        (L.LayerNorm(), [(5,)]),
    ],
    L.LogSigmoid: [(L.LogSigmoid(), [(4, 3)])],
    L.Log: [(L.Log(), [(4, 3)])],
    L.LpNorm: [
        (L.LpNorm(), [(5,)]),
        (L.LpNorm((1, -1), 1), [(3, 2, 4)]),
        (L.LpNorm((2,), 2, 0.5, 6.0), [(3, 4)]),
        (L.LpNorm((2,), 1, 0.25, 4.0), [(3, 4)]),
        (L.LpNorm((2,), 2, 0.25, 6.0, 0.5), [(3, 4)]),
    ],
    L.LpPool: [
        (L.LpPool(2), [(2, 4, 4)]),
        (L.LpPool((2, 3), 1, ((1, 0), (1, 1)), (2, 1), p=3), [(1, 5, 6)]),
        (L.LpPool(2, 2, ceil_mode=True, p=1), [(2, 5)]),
    ],
    L.MatMul: [(L.MatMul(), [(3, 2), (2, 4)]), (L.MatMul(), [(2, 3, 2), (2, 2, 2)]), (L.MatMul(), [(1, 3, 2), (2, 2, 2)])],
    L.Maximum: [(L.Maximum(), [(3, 2), (3, 2)]), (L.Maximum(3), [(3, 2), (1, 2), (3, 1)]), (L.Maximum(1), [(3,)])],
    L.MinMaxNorm: [
        (L.MinMaxNorm(), [(5,)]),
        (L.MinMaxNorm((1, -1), 0.5), [(3, 2, 4)]),
        (L.MinMaxNorm((2,), 0.25, 3.0), [(3, 4)]),
    ],
    L.Minimum: [(L.Minimum(), [(3, 2), (3, 2)]), (L.Minimum(3), [(3, 2), (1, 2), (3, 1)]), (L.Minimum(1), [(3,)])],
    L.Mish: [(L.Mish(), [(4, 3)])],
    L.PReLU: [(L.PReLU(0.25), [(4, 3)]), (L.PReLU(numbers(4, 1)), [(4, 3)])],
    L.PadWith: [
        (L.PadWith(((0, 0), (2, 1)), "reflect"), [(2, 3)]),
        (L.PadWith(((1, 0), (5, 4)), "reflect"), [(2, 3)]),
        (L.PadWith(((1, 2), (0, 3)), "edge"), [(2, 3)]),
        (L.PadWith(((3, 2), (0, 4)), "wrap"), [(2, 3)]),
        (L.PadWith(((1, 0), (2, 1)), "constant", 1.5), [(2, 3)]),
    ],
    L.Pow: [(L.Pow(), [(4, 3)]), (L.Pow(3.0), [(4, 3)]), (L.Pow(np.array([1.0, 2.0, 3.0])), [(4, 3)])],
    L.Power: [(L.Power(), [(4, 3), (4, 3)])],
    L.RMSNorm: [
        (L.RMSNorm(1, numbers(4), numbers(4)), [(3, 4)]),
        (L.RMSNorm(2, numbers(3, 4), None, 0.5), [(2, 3, 4)]),
        (L.RMSNorm(1, numbers(4), None, 0.0, 0.5), [(3, 4)]),
        (L.RMSNorm(), [(5,)]),
    ],
    L.RNN: [
        (L.RNN.from_arrays(numbers(3, 2), numbers(2, 2), numbers(2), initial_hidden=numbers(2)), [(4, 3)]),
        (
            L.RNN.from_arrays(numbers(2, 3, 2), numbers(2, 2, 2), return_sequences=True, reads=("lengths", "hidden")),
            [(5, 3), (), (4,)],
        ),
    ],
    L.Reciprocal: [(L.Reciprocal(), [(4, 3)])],
    L.ReduceMax: [(L.ReduceMax((1,)), [(3, 4)]), (L.ReduceMax((-1, 1), True), [(3, 2, 4)])],
    L.Resize: [
        (L.Resize((2, 6), None, "nearest", "asymmetric", "floor"), [(2, 3)]),
        (L.Resize((2, 5, 7), None, "linear"), [(2, 3, 4)]),
        (L.Resize((1, 4), None, "linear", "align_corners"), [(1, 3)]),
        (L.Resize((1, 2), (1, 0.5), "linear", antialias=True), [(1, 5)]),
        (L.Resize((1, 7), None, "cubic", cubic=-0.5, exclude_outside=True), [(1, 4)]),
        (L.Resize((1, 5), None, "linear", "tf_crop_and_resize", roi=((0, 1), (0.25, 0.75))), [(1, 4)]),
        (
            L.Resize((2, 5, 1), None, "linear", "tf_crop_and_resize", roi=((0, 1), (1.25, -0.5), (0.5, 1)), extrapolation=1.5),
            [(2, 4, 3)],
        ),
    ],
    L.SELU: [(L.SELU(), [(4, 3)]), (L.SELU(1.0, 2.0), [(4, 3)])],
    L.SiLU: [(L.SiLU(), [(4, 3)]), (L.SiLU(1.5), [(4, 3)])],
    L.Shrink: [(L.Shrink(), [(4, 3)]), (L.Shrink(0.75, 0.75), [(4, 3)]), (L.Shrink(0.0, -0.25), [(4, 3)])],
    L.Sign: [(L.Sign(), [(4, 3)])],
    L.Slice: [
        (L.Slice(1, 3), [(4, 2)]),
        (L.Slice(None, None, 2, -1), [(2, 4)]),
        (L.Slice(-1, None, 1, -3), [(4,)]),
        (L.Slice(5, 9), [(4,)]),
    ],
    L.Softsign: [(L.Softsign(), [(4, 3)])],
    L.SpaceToDepth: [(L.SpaceToDepth(2), [(2, 4, 6)]), (L.SpaceToDepth(2, "CRD"), [(2, 4, 2)])],
    L.Sqrt: [(L.Sqrt(), [(4, 3)])],
    L.StackedDense: [
        (L.StackedDense(numbers(2, 3, 4)), [(2, 5, 3)]),
        (L.StackedDense(numbers(1, 3, 2)), [(4, 2, 3)]),
        (L.StackedDense(numbers(3, 2, 2)), [(1, 4, 2)]),
        (L.StackedDense(numbers(2, 1, 3, 1)), [(2, 2, 3, 1, 3)]),
    ],
    L.Sum: [(L.Sum(), [(3, 4)]), (L.Sum((-1, 1), True), [(3, 2, 4)]), (L.Sum((2, 3)), [(3, 2, 4)])],
    L.Threshold: [(L.Threshold(), [(4, 3)]), (L.Threshold(-0.5, 0.25), [(4, 3)])],
    L.Tile: [(L.Tile((2, 3)), [(3, 2)]), (L.Tile((1, 0)), [(3, 2)]), (L.Tile((1,)), [(3,)])],
    L.Where: [
        (L.Where(), [(3, 2), (3, 2), (3, 2)]),
        (L.Where(), [(3, 1), (1, 2), (3, 2)]),
        (L.Where(otherwise=numbers(2)), [(3, 2), (3, 2)]),
        (L.Where(numbers(3, 1)), [(3, 2), (3, 2)]),
        (L.Where(0.5, numbers(2)), [(3, 2)]),
    ],
}
