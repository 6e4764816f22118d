"""How far convolutions by Winograd's algorithm may be from the sums that they stand for.

Winograd's F(m×m, 3×3) makes m×m outputs of a tile d of (m + 2)×(m + 2) inputs and a kernel g, summed over channels:
y = Aᵀ[(G g Gᵀ) ∘ (Bᵀ d B)]A. What rounds is of the size of the tile's terms, not of those of one output, so the bound of a sum
of products does not hold. With k roundings in a row, to first order in u (Higham 2002, §3.1; Barabasz et al. 2020)

    |ŷ − y| ≤ k·L·u·S,    S = Σ_c max|d_c| · max|g_c|    (over the tile; over the nine taps)

and L, the largest entry of |Aᵀ|[(|G|1)(|G|1)ᵀ ∘ (|B|ᵀ1)(|B|ᵀ1)ᵀ]|A|, is 64 for m = 2 and 620 for m = 4 with the points 0, ±1/√2,
±√2, ∞. That is reached only where all roundings conspire. They are many and as good as independent, so that their squares
add up (Higham and Mary 2019), where L becomes 5 and 21.4, and more than 10 times the root mean square has a probability below
1e-20. The root mean square was measured where it is largest beside S, at all |d| equal and all |g| equal with random signs and
at 16 channels, the fewest for which these algorithms are chosen: 1.6 u·S and 6.3 u·S (in the ratio of 5 to 21.4). Hence

    |ŷ − y| ≤ 16·u·S  (m = 2),    |ŷ − y| ≤ 64·u·S  (m = 4)

(FACTOR). The latter is also what the kernels rely on where they compute anew what may be a wrong zero. Only channels that are
copies of one another conspire: then errors add up as they are, and reach 77 and 411.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lrp_ref import layers as L
from lrp_ref import rules
from lrp_ref.arrays import Array
from support.one_layer import Around, absolute, arriving, quotients
from support.strategies import Case

#: |ŷ − y| ≤ FACTOR[m]·u·S; m = 1 is a direct convolution, whose sums of a few hundred terms need no more.
FACTOR = {1: 4, 2: 16, 4: 64}
POINTS = {2: (0, 1, -1), 4: (0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))}


def amplification(m: int, squares: bool = False) -> float:
    """L, or with `squares` what becomes of it where squares add up (Toom–Cook matrices; Lavin and Gray 2016)."""
    points, poly = POINTS[m], np.polynomial.polynomial
    A, G, B = np.zeros((m, m + 2)), np.zeros((m + 2, 3)), np.zeros((m + 2, m + 2))
    for j, p in enumerate(points):
        others = [q for q in points if q != p]
        A[:, j] = [p**i for i in range(m)]
        G[j] = np.array([1, p, p**2]) / np.prod([p - q for q in others])
        B[j, :-1] = poly.polyfromroots(others)
    A[-1, -1], G[-1, 2], B[-1] = 1, 1, poly.polyfromroots(points)
    if squares:
        one = A**2 @ ((G**2).sum(axis=1) * (B**2).sum(axis=1))
        return float(np.sqrt(np.outer(one, one).max()))
    one = abs(A) @ (abs(G).sum(axis=1) * abs(B).sum(axis=1))
    return float(np.outer(one, one).max())


def _largest(x: Array, m: int, before: tuple[int, int], out: tuple[int, int]) -> Array:
    """max|x| over the tile that each output cell is computed from: (N, C, H, W) → (N, C, *out)."""
    found = np.empty((*x.shape[:2], *out))
    margins = [(b, max(0, o + m + 2 - b - n)) for b, o, n in zip(before, out, x.shape[2:], strict=True)]
    wide = np.pad(abs(x), ((0, 0), (0, 0), *margins))
    for i in range(0, out[0], m):
        for j in range(0, out[1], m):
            found[:, :, i : i + m, j : j + m] = wide[:, :, i : i + m + 2, j : j + m + 2].max(axis=(2, 3))[:, :, None, None]
    return found


def sizes(x: Array, weight: Array, m: int, before: tuple[int, int], out: tuple[int, int]) -> Array:
    """S of every output: Σ_c max|x_c| · max|w_kc| for x (N, C, H, W) and weight (K, C, 3, 3)."""
    return np.einsum("nchw,kc->nkhw", _largest(x, m, before, out), abs(weight).max(axis=(2, 3)), optimize=True)


def _before(layer: L.Conv | L.ConvTranspose, upward: bool) -> tuple[int, int]:
    """The padding of the convolution that is computed: spreading is gathering with the kernel turned round."""
    (top, _), (left, _) = layer.window.padding
    gathers = upward == isinstance(layer, L.Conv)
    return (top, left) if gathers else (2 - top, 2 - left)


def _oriented(layer: L.Conv | L.ConvTranspose, weight: Array, upward: bool) -> Array:
    """(outputs, inputs, 3, 3) of the direction."""
    return weight if upward == isinstance(layer, L.Conv) else weight.swapaxes(0, 1)


def upward(case: Case, terms: list[tuple[Array, Array]], m: int) -> Array:
    """S of Σ_t map(f_t, w_t), which is one product over the channels of all f_t."""
    layer, out = case.layer, case.relevance.shape[2:]
    before = _before(layer, True)
    return sum((sizes(f, _oriented(layer, w, True), m, before, out) for f, w in terms), np.zeros(case.relevance.shape))


def allowed(
    case: Case, rule: rules.LinearRule, around: Around, m: tuple[int, int], u: float, exact: bool = False
) -> tuple[Array, Array]:
    """How far R_j may be from the exact one, and for each k whether its denominators and the sign of z are beyond doubt.

    With δz_k = FACTOR·u·S + 2u·Σ|terms| (what is added to z rounds too), s_k is off by δz_k/|z_k + e_k| of itself, less than 1/8
    where there is no doubt. What comes down is off by that, and by FACTOR·u·S of its own:

        |a_j|·( Σ_k |w_jk s_k|·(8/7·δz_k/|z_k + e_k| + 6u) + FACTOR·u·Σ_k max|s_k| max|w_jk| ).

    Parameters
    ----------
    m : of the way up and of the way down
    exact : whether the way up rounds nothing
    """
    layer, (a,) = case.layer, case.inputs
    R = arriving(case, around)
    plain = quotients(case, rules.Zero(), np.ones_like(R))[0]
    z, total = layer.forward(a), np.zeros(a.shape)

    def off(found: Any, terms: list[tuple[Array, Array]]) -> Array:
        return np.asarray((not exact) * u * (FACTOR[m[0]] * upward(case, terms, m[0]) + 2 * absolute(layer, found, (a,))))

    sure = (z == 0) | (abs(z) > 8 * off(plain, [(a, layer.weight)]))
    units = quotients(case, rule, np.ones_like(R))
    for found, unit in zip(quotients(case, rule, R), units, strict=True):
        terms = [(term.feature(a), term.weight) for term in found.position[0].terms]
        relative = off(found, terms) * abs(unit.s) / abs(float(found.position[0].coefficient))
        sure &= relative < 1 / 8
        weighed = abs(found.s) * (8 / 7 * relative + 6 * u)
        for f, w in terms:
            own = sizes(found.s, _oriented(layer, w, False), m[1], _before(layer, False), a.shape[2:])
            total += abs(f) * (layer.adjoint(weighed, abs(w), a.shape) + FACTOR[m[1]] * u * own)
    return total, sure
