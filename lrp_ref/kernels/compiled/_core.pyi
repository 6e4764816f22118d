"""The C core. Arrays are float32 or float64 (one type in a call), C-contiguous and channels last; nothing is cast or copied.

A wrong shape, type or layout is a `ValueError` or `TypeError` here, before any C runs; no memory is a `MemoryError`.
The same bits come out whatever `threads` and the number of samples, with every algorithm.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from ...arrays import Array

#: The instruction set that was chosen when the module was loaded: "x86-64-v4", "x86-64-v3" or "baseline".
#: LRP_REF_INSTRUCTION_SET chooses a lesser one.
instruction_set: str

#: Counted up when functions change: see `kernels/compiled/native.py`.
INTERFACE: int

# What a part of an input is made of: (array, feature, operand).
COPY: int
POSITIVE: int
NEGATIVE: int
MAGNITUDE: int
ONE: int
MINUS: int  # a - operand; the operand broadcasts against one sample, channels last
TIMES: int  # a · operand; the operand has the shape of a, but for a first axis that may be shorter: a (N·T, …), operand (N, …)
OVER: int  # a / operand, of the same shapes

# Stabilisers, and where a share is alive.
EXACT: int
SIGNED: int
UNSIGNED: int
ALL: int
NONNEGATIVE: int
NEGATIVE_ONLY: int

# What may be odd about denominators that relevance can meet, added up: some are no normal numbers (0 is none), some overflowed.
# Nothing is divided by 0 or by what overflowed.
SMALL: int
OVERFLOWED: int

# How a convolution is computed.
DIRECT: int
F2: int  # Winograd F(2×2, 3×3)
F4: int  # Winograd F(4×4, 3×3) at the points 0, ±1/√2, ±√2, ∞

Part: TypeAlias = tuple[Array, int, Any]

class Epilogue:
    """What is done with the products of a layer: output = z or max(z, 0), and each share's factor or divisor.

    Where messages arrive as c, R = a·c, they are multiplied by λ·output/(z^q + b^q + e^q), 0 where the share is dead; where they
    arrive as R they are divided by (z^q + b^q + e^q)/λ, infinite where it is.

    Parameters
    ----------
    bias : None, (channels,), or one for each output cell of a sample, channels last
    rectified : whether a ReLU is behind the layer
    quotient : whether messages arrive as c
    shares : (product, half, bias, stabiliser, epsilon, where, coefficient) each; product 0 is the layer's own pre-activation with
        its bias, −1 is zero, and `half` means half the sum of product 0, without that bias, and the one named; a share's bias is
        as `bias`, and is not used with product 0
    """

    def __init__(
        self,
        bias: Array | None,
        rectified: bool,
        quotient: bool,
        shares: Sequence[tuple[int, bool, Array | None, int, float, int, float]],
    ) -> None: ...

def new_array(shape: Sequence[int], dtype: Any) -> Array:
    """A new array of any content, for outputs that go into slices of its channels."""

def finite(x: Array, threads: int) -> bool:
    """Whether no number is infinite or NaN; x dense, or a slice of the channels of a dense array."""

def least_size(x: Array, threads: int) -> float:
    """The least size of a number that is not 0, infinity where there is none; x dense, or a slice of a dense array's channels."""

def choose(a: Array, yes: Array, no: Array, threads: int) -> Array:
    """`yes`, into which `no` has gone where a is not more than 0.

    a is (samples, ..., channels), dense or a slice of the channels of a dense array; the others are dense, of shape
    (samples · targets, ..., channels), targets behind samples.
    """

def epilogue(how: Epilogue, products: Sequence[Array], threads: int) -> tuple[Array, list[Array], int]:
    """The output, the factors and what is odd, from products that are there as arrays (of one shape, channels last)."""

class Convolution:
    """Products of one input with weights: y_p[o, k] = Σ_taps Σ_c x[o·stride + tap·dilation − before, c] w_p[k, c, tap].

    Parameters
    ----------
    weights : one for each product, each (groups, upper, lower, *kernel), upper and lower of one group, 1 to 3 kernel axes; lower
        counts the channels of all parts of the input, part after part; any strides. F2 and F4 keep the arrays, and read single
        numbers of them again where a result may be an exact zero: they must not change, and a view of an array that is held
        anyway costs no memory. DIRECT keeps nothing of them.
    stride, dilation : one for each axis
    algorithm : DIRECT, F2 or F4; the latter two only for 3×3 kernels in two dimensions, stride and dilation 1, groups 1
    ties : whether windows of a sample that hold the same numbers get the same results, those of the first of them: with DIRECT
        they do in any case, F2 and F4 look for them; features and biases must not differ from cell to cell then
    """

    nbytes: int  # of the prepared weights; not of the arrays that are kept
    def __init__(
        self,
        weights: Sequence[Array],
        stride: Sequence[int],
        dilation: Sequence[int],
        algorithm: int,
        threads: int,
        ties: bool = False,
    ) -> None: ...
    def __call__(
        self,
        parts: Sequence[Part],
        before: Sequence[int],
        out: Sequence[int],
        epilogue: Epilogue | None,
        threads: int,
        into: Array | None = None,
        given: Sequence[Array] = (),
    ) -> Any:
        """(output, factors, what is odd) with `epilogue`, else the list of products; (samples, *out, groups·upper) each.

        Parameters
        ----------
        parts : each array (samples, *spatial, groups·channels), dense or a slice of the channels of a dense array
        before : how many cells of padding lie before the input on each axis; negative: cells are cut off
        out : the extents of the output; cells beyond the input's end are zero
        into : where the output goes, instead of into a new array: may be a slice of channels as well
        given : the first products for `epilogue`, which are there: the layer's own pre-activation without its bias comes first
        """

class Scatter:
    """The adjoint of `Convolution` of any stride: x_p[c] = Σ_taps Σ_k s[o, k] w_p[c, k, tap] at o·stride + tap·dilation − before.

    Parameters
    ----------
    weights : one for each product, each (groups, upper, lower, *kernel): here `lower` are the channels of s (all parts), `upper`
        those of the result
    """

    nbytes: int
    def __init__(self, weights: Sequence[Array], stride: Sequence[int], dilation: Sequence[int], threads: int) -> None: ...
    def __call__(self, parts: Sequence[Part], before: Sequence[int], spatial: Sequence[int], threads: int) -> list[Array]:
        """The products, (samples, *spatial, groups·upper) each; what falls outside of `spatial` is dropped."""

class Accounting:
    """What a step accounts for, from a message and the factors (or divisors) that `Epilogue` made for its shares.

    Parameters
    ----------
    bias : of the layer, (channels,), or one for each output cell, channels last; None: none
    quotient : whether messages arrive as c
    shares : (bias, stabiliser, epsilon, coefficient, alike, tilt, sign) each. Σ |terms| of its denominator, its size, is z^q
        where the terms and the bias are `alike` in sign; where `tilt` is not 0 its weights are w + tilt·w⁺ (sign 1) or
        w + tilt·w⁻ (−1) on inputs ≥ 0, and the layer's own pre-activation tells; else it is given with every call
    """

    def __init__(
        self,
        bias: Array | None,
        quotient: bool,
        shares: Sequence[tuple[Array | None, int, float, float, bool, float, int]],
    ) -> None: ...
    def __call__(
        self,
        message: Array,
        output: Array | None,
        factors: Sequence[Array],
        epsilons: Sequence[Array | None],
        sizes: Sequence[Array | None],
        threads: int,
    ) -> Array:
        """The columns of a booking, (samples, targets, 8) in float64; what is handed on stays 0.

        Parameters
        ----------
        message : (samples, targets, *cells, channels), dense or a slice of the channels of a dense array
        output : (samples, *cells, channels), of the layer or of a ReLU behind it; None where R arrives and nothing needs it
        factors : (samples, *cells, channels) of each share
        epsilons : for each share ε of each sample in float64; None: its own, for all
        sizes : (samples, *cells, channels) for each share; None where they are not needed
        """

def dense(
    x: Array, weight: Array, threads: int, total: Array | None = None, mask: Array | None = None, absolute: bool = False
) -> Array:
    """x @ weight, or |x| @ |weight| where `absolute`; added to `total` where given.

    x is (samples, lower), the weight (lower, upper), C- or Fortran-contiguous. Rows of the weight whose x is 0 in all samples are
    not read where the weight is C-contiguous. Where `mask` (samples, or an integer part of them, upper) is 0, so is the result;
    rows that are masked in all samples are not read where the weight is in Fortran order.
    """

def winners(
    x: Array,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    before: Sequence[int],
    out: Sequence[int],
    threads: int,
) -> tuple[Array, Array]:
    """The maximum of each window and which tap it is at (uint8 below 256 taps, else int32); of equal cells the first wins.

    Padding never wins: a window without any cell is −∞ at tap 0.
    """

def to_winners(
    message: Array,
    winner: Array,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    before: Sequence[int],
    spatial: Sequence[int],
    threads: int,
) -> Array:
    """Each window's message (samples·targets, *out, channels) at its winner (samples, …), added up.

    The result is (samples·targets, *spatial, channels).
    """

def window_sums(
    x: Array,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    before: Sequence[int],
    out: Sequence[int],
    threads: int,
) -> Array:
    """The sum of each window; padding counts as 0."""

def window_spread(
    s: Array,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    before: Sequence[int],
    spatial: Sequence[int],
    threads: int,
) -> Array:
    """The adjoint of `window_sums`: each cell gets the sum of the s of the windows that see it."""

# The product rules of an LSTM, and what it returns.
SIGNAL: int
PROPORTIONAL: int
ABSOLUTE: int
HALF: int
LAST: int
EVERY: int
CELL: int

class LSTM:
    """An LSTM over time, sigmoid and tanh, without peepholes; and relevance back through it under the signed ε-rule.

    Parameters
    ----------
    weight_input, weight_recurrent : (directions, features or hidden, 4·hidden), gates i, f, o, g
    bias : (directions, 4·hidden)
    backwards : for each direction whether it reads its sequence from the end
    all_gates : whether relevance reaches all gates, or g alone (SIGNAL)
    booked : whether the way back accounts for what it does

    `rule` is (product rule, whether it weighs what is before the activations, its ε, the ε of linear maps, that of sums).
    """

    nbytes: int  # of the prepared weights; the arrays are not kept
    def __init__(
        self,
        weight_input: Array,
        weight_recurrent: Array,
        bias: Array | None,
        backwards: Sequence[bool],
        all_gates: bool,
        booked: bool,
    ) -> None: ...
    def forward(
        self,
        x: Array,
        lengths: Array | None,
        states: Sequence[Array | None],
        returns: int,
        rule: tuple[int, bool, float, float, float],
        threads: int,
    ) -> tuple[Array, tuple[Array, Array], int]:
        """The output, what the way back needs, and what is odd.

        Parameters
        ----------
        x : (samples, steps, features)
        lengths : (samples,) of type intp, from 1 to `steps`
        states : initial hidden and cell states, (samples, directions·hidden) each; None: 0
        """

    def relevance(
        self,
        saved: tuple[Array, Array],
        message: Array,
        x: Array,
        lengths: Array | None,
        states: Sequence[Array | None],
        returns: int,
        rule: tuple[int, bool, float, float, float],
        threads: int,
    ) -> tuple[Array, Array, Array, tuple[Array, Array, Array, Array] | None]:
        """Relevance of x (samples, targets, steps, features) and of both initial states (samples, targets, directions·hidden).

        Where it is booked the columns too, as those of `Accounting`, (samples, targets, 8), and what stabilisers, no share and
        biases took at each step, (samples, targets, steps) each. What is handed on stays 0, and is not in the turnover.
        """

class GRU(LSTM):
    """A GRU over time, sigmoid and tanh, and relevance back through it under LRP-all: calls are those of an LSTM.

    Parameters
    ----------
    weight_input, weight_recurrent : (directions, features or hidden, 3·hidden), gates r, z, n
    bias : (directions, 3·hidden)
    inner_bias : (directions, hidden), inside of the product that is reset
    backwards, booked : as of an LSTM
    resets_product : whether r multiplies U h + b', or h itself

    A cell state is not looked at, and nothing comes back for one; `returns` is LAST or EVERY.
    """

    def __init__(
        self,
        weight_input: Array,
        weight_recurrent: Array,
        bias: Array | None,
        inner_bias: Array | None,
        backwards: Sequence[bool],
        resets_product: bool,
        booked: bool,
    ) -> None: ...

# Functions of each element, with the numbers p and q; the last of x and other arrays.
RELU: int
LEAKY: int  # x where x ≥ 0, else p·x
CLIP: int  # min(q, max(p, x))
HARD_SIGMOID: int  # max(0, min(1, p·x + q)), the product rounded
HARD_SWISH: int
SOFTSIGN: int
ABS: int
THRESHOLD: int  # x where x > p, else q
SHRINK: int  # x − q where x > p, x + q where x < −p, else 0
SIGMOID: int
SILU: int  # x·σ(p·x)
GELU: int
GELU_TANH: int
TANH: int
SOFTPLUS: int  # log(1 + exp(p·x))/p
LOG_SIGMOID: int
ELU: int  # q·x where x > 0, else q·p·(exp(x) − 1)
CELU: int  # x where x > 0, else p·(exp(x/p) − 1), for p > 0
MISH: int
PRODUCT: int  # x·a
PRELU: int  # x where x ≥ 0, else a·x
AFFINE: int  # x·a + b, the product rounded
SHARE: int  # x·a/b, 0 where b is

class Pointwise:
    """A function of elements, of up to three arrays that broadcast against each other.

    What is made of sums, products and quotients alone (the first nine, PRODUCT and those behind it) has NumPy's bits. The
    rest is within 5 units in the last place of the function of its rounded argument; those of the least normal number below it.
    An element's bits do not depend on where it stands.
    """

    def __init__(self, function: int, first: float = 0.0, second: float = 0.0) -> None: ...
    def __call__(self, *operands: Array, threads: int, into: Array | None = None) -> Array:
        """The function of arrays in any order of memory, which is that of the first that does not broadcast; or in `into`."""

def norm(
    x: Array,
    scale: Array | None,
    shift: Array | None,
    epsilon: float,
    outside: float,
    correction: int,
    centred: bool,
    stabiliser: float,
    quotient: bool,
    booked: bool,
    threads: int,
) -> tuple[Array, Array, Array, Array | None, int]:
    """Groups (rows, width) by their own mean and deviation: y = γ·(x − mean)/(√(variance + ε) + outside) + β.

    The output, the factors y/(y + e) where messages arrive as c (`quotient`), else y + e, with e of the sign of y; 1/deviation of
    each group; where it is booked Σ |terms| of each denominator; and what is odd about denominators and variances.

    Parameters
    ----------
    scale, shift : γ and β (period, width); they come again after so many groups
    correction : the variance divides by width − correction
    centred : whether a mean is taken off
    stabiliser : the size of e
    """

def norm_back(
    message: Array, factor: Array, inverse: Array, scale: Array | None, centred: bool, quotient: bool, threads: int
) -> Array:
    """c with R = x·c of a message (samples, targets, cells, width), whose samples have so many groups (`cells`)."""
