"""Dual numbers a + εb with ε² = 0: forward run on them gives the exact derivative along b, and shares no code with `vjp`.

(3 + ε)² is 9 + 6ε. Components are fractions, or mpmath's numbers where a function is not rational. Comparisons look at a
alone, so nothing is said about kinks: tests keep away from them.
"""

from fractions import Fraction

import mpmath
import numpy as np

from lrp_ref.arrays import fractions


class Dual:
    """a + εb."""

    __slots__ = ("a", "b")

    def __init__(self, a, b=0):
        self.a, self.b = a, b

    def __repr__(self):
        return f"{self.a} + {self.b}ε"

    def __add__(self, other):
        o = dual(other)
        return Dual(self.a + o.a, self.b + o.b)

    def __mul__(self, other):
        o = dual(other)
        return Dual(self.a * o.a, self.a * o.b + self.b * o.a)

    def __truediv__(self, other):
        o = dual(other)
        return Dual(self.a / o.a, (self.b * o.a - self.a * o.b) / (o.a * o.a))

    def __neg__(self):
        return Dual(-self.a, -self.b)

    def __sub__(self, other):
        return self + -dual(other)

    def __rsub__(self, other):
        return dual(other) - self

    def __rtruediv__(self, other):
        return dual(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, n):
        if isinstance(n, Dual):
            return exp(n * log(self))
        return Dual(self.a**n, n * self.a ** (n - 1) * self.b if n else self.a * 0)

    def __abs__(self):
        return -self if self.a < 0 else self

    def __eq__(self, other):
        return self.a == dual(other).a

    def __lt__(self, other):
        return self.a < dual(other).a

    def __le__(self, other):
        return self.a <= dual(other).a

    def __gt__(self, other):
        return self.a > dual(other).a

    def __ge__(self, other):
        return self.a >= dual(other).a

    def __float__(self):
        return float(self.a)

    __hash__ = None


def dual(value):
    """A number as a dual one that does not move."""
    return value if isinstance(value, Dual) else Dual(value, value * 0)


def duals(a, b):
    """The array a + εb, of arrays of fractions or of mpmath's numbers."""
    found = np.empty(a.shape, dtype=object)
    for place in np.ndindex(a.shape):
        found[place] = Dual(a[place], b[place])
    return found


def real(array):
    """The array of a."""
    return _part(array, "a")


def slope(array):
    """The array of b."""
    return _part(array, "b")


def _part(array, name):
    found = np.empty(array.shape, dtype=object)
    for place in np.ndindex(array.shape):
        found[place] = getattr(dual(array[place]), name)
    return found


def derivative(forward, inputs, directions):
    """The exact derivative of `forward` at `inputs` (fractions) along `directions`: J v."""
    return slope(forward(*[duals(fractions(a), fractions(v)) for a, v in zip(inputs, directions, strict=True)]))


def inner(u, v):
    """⟨u, v⟩ of arrays of fractions."""
    return sum((x * y for x, y in zip(np.ravel(u), np.ravel(v), strict=True)), Fraction(0))


# --- functions that are not rational: mpmath's numbers ---------------------------------------------------------------


def _lift(function, slope_of):
    def lifted(x):
        x = dual(x)
        return Dual(function(x.a), slope_of(x.a) * x.b)

    return lifted


exp = _lift(mpmath.exp, mpmath.exp)
log = _lift(mpmath.log, lambda x: 1 / x)
sqrt = _lift(mpmath.sqrt, lambda x: 1 / (2 * mpmath.sqrt(x)))
tanh = _lift(mpmath.tanh, lambda x: mpmath.sech(x) ** 2)
erf = _lift(mpmath.erf, lambda x: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x))


def sigmoid(x):
    return 1 / (1 + exp(-dual(x)))
