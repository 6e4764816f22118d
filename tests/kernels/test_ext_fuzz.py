"""A wrong call of the compiled core is a TypeError or a ValueError, never a crash, and writes into what it gives back alone.

Thousands of calls with arguments exchanged at random, in a process of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lrp_ref

ext = pytest.importorskip(
    "lrp_ref.kernels.compiled._core", reason="the compiled core is not built: python setup.py build_ext --inplace"
)

ROOT = str(Path(lrp_ref.__file__).parents[1])
X = np.ones((1, 6, 6, 4), np.float32)
K, AT, OUT = (3, 3), (1, 1), (6, 6)

FUZZ = """
import random, sys, numpy as np, lrp_ref.kernels.compiled._core as e

def arrays(dtype):
    base = np.ones(1200, dtype)
    x = base[:144].reshape(1, 6, 6, 4)
    yield from (x, x[..., ::2], x[:, ::-1], x.swapaxes(1, 3), x[0], x[:0], base[0], np.ones(1200 * 8, "u1")[3:579].view("f4"))
    yield from (x.astype(x.dtype.newbyteorder()), np.broadcast_to(base[:1], (1, 6, 6, 4)))
    yield from (base[:8].reshape(2, 4), base[:16].reshape(4, 4))
    yield np.ones((1, 4, 4, 3, 3), dtype)

JUNK = [None, True, 0, 1, -1, 2**31, -(2**63), 2**64, 10**40, 1.5, float("nan"), float("inf"), "", "abc", b"x"]
JUNK += [(), [], {}, object(), 1j, (1, 1), (3, 3), (6, 6), (0, 0), (-1, 2**62), (2**31, 2**31), (2**62, 2**62)]
JUNK += [(10**30, 1), (1.5, 1), ("a", 1)]
JUNK += [(None, 1), (1,) * 9, lambda: iter((6, 6)), lambda: (n for n in (3, 3)), lambda: iter([]), lambda: range(2)]
JUNK += [lambda: np.array([6, 6])]
JUNK += [a for d in ("f4", "f8", "f2", "i4", "u1", "O", "c8") for a in arrays(d)]
HALF = [lambda k=k: k.__new__(k) for k in (e.Convolution, e.Scatter, e.LSTM, e.Epilogue, e.Pointwise)]
JUNK += HALF

X, W = np.ones((1, 6, 6, 4), "f4"), np.ones((1, 4, 4, 3, 3), "f4")
K, AT, OUT = (3, 3), (1, 1), (6, 6)
SHARE = (0, False, None, e.SIGNED, 0.1, e.ALL, 1.0)
HOW = lambda: e.Epilogue(None, True, True, [SHARE])
B, Z = np.ones((1, 40), "f4"), np.zeros((2, 3, 2, 2), "f4")
LSTM = lambda: e.LSTM(np.ones((1, 3, 40), "f4"), np.ones((1, 10, 40), "f4"), B, (False,), False, True)
SEQ, RULE = np.ones((2, 5, 3), "f4"), (e.SIGNAL, False, 0.0, 0.1, 0.1)
GIVEN = (SEQ, np.array([5, 3]), (None, None), e.LAST, RULE)
_, SAVED, _ = LSTM().forward(*GIVEN, 1)
CALLS = [
    (e.Epilogue, (None, True, True, [SHARE])),
    (e.Epilogue, (np.ones(4, "f4"), True, True, [(1, True, np.ones(4, "f4"), 1, 0.1, 0, 1.0)])),
    (e.epilogue, (HOW, [X], 1)), (e.new_array, ((2, 3), "f4")), (e.finite, (X, 1)),
    (e.least_size, (X, 1)), (e.choose, (X, X.copy(), X, 1)),
    (e.dense, (np.ones((6, 4), "f4"), np.ones((4, 5), "f4"), 1, np.ones((6, 5), "f4"), np.ones((3, 5), "f4"))),
    (e.winners, (X, K, AT, AT, AT, OUT, 1)), (e.window_sums, (X, K, AT, AT, AT, OUT, 1)),
    (e.window_spread, (X, K, AT, AT, AT, OUT, 1)),
    (e.to_winners, (X, np.zeros(X.shape, "u1"), K, AT, AT, AT, OUT, 1)),
    (e.Convolution, ([W], AT, AT, e.DIRECT, 1)), (e.Convolution, ([W, W], AT, AT, e.F2, 1)), (e.Scatter, ([W], AT, AT, 1)),
    (lambda *a: e.Convolution([W], AT, AT, e.DIRECT, 1)(*a), ([(X, e.COPY, None)], AT, OUT, HOW, 1, None, ())),
    (lambda *a: e.Convolution([W], AT, AT, e.F4, 1)(*a), ([(X, e.TIMES, X)], AT, OUT, None, 1)),
    (lambda *a: e.Scatter([W], (2, 2), AT, 1)(*a), ([(X, e.COPY, None)], AT, (13, 13), 1)),
    (e.LSTM, (np.ones((1, 3, 40), "f4"), np.ones((1, 10, 40), "f4"), B, (False,), False, True)),
    (lambda *a: LSTM().forward(*a), (*GIVEN, 1)),
    (lambda *a: LSTM().relevance(*a), (SAVED, np.ones((2, 1, 10), "f4"), *GIVEN, 1)),
] + [(lambda *a, h=h: h()(*a), ([(X, e.COPY, None)], AT, OUT, None, 1)) for h in HALF[:2]]
CALLS += [(e.Pointwise, (e.SILU, 1.0)), (lambda *a: e.Pointwise(e.TANH)(a[0], threads=a[1], into=a[2]), (X, 1, np.ones_like(X)))]
CALLS += [(lambda *a: e.Pointwise(e.PRODUCT)(*a, threads=2), (X, X[:, :1, :1]))]
CALLS += [(lambda *a: e.Pointwise(e.AFFINE)(*a, threads=2), (X, X[:, :1, :1], X[0]))]
CALLS += [(lambda *a: HALF[4]()(*a, threads=1), (X,))]
W_GRU, U_GRU = np.ones((1, 3, 30), "f4"), np.ones((1, 10, 30), "f4")
GRU = lambda: e.GRU(W_GRU, U_GRU, B[:, :30].copy(), B[:, :10].copy(), (False,), True, True)
_, OF_GRU, _ = GRU().forward(*GIVEN, 1)
CALLS += [(e.GRU, (W_GRU, U_GRU, None, B[:, :10].copy(), (False,), True, True))]
CALLS += [(lambda *a: GRU().forward(*a), (*GIVEN, 1))]
CALLS += [(lambda *a: GRU().relevance(*a), (OF_GRU, np.ones((2, 1, 10), "f4"), *GIVEN, 1))]
CALLS += [(lambda *a: e.GRU.__new__(e.GRU).forward(*a), (*GIVEN, 1))]
ROWS, G = np.ones((6, 5), "f4"), np.ones((3, 5), "f4")
CALLS += [(e.norm, (ROWS, G, G, 0.1, 0.0, 1, True, 0.1, True, True, 2))]
CALLS += [(e.norm_back, (np.ones((2, 3, 3, 5), "f4"), ROWS, ROWS[:, 0].copy(), G, True, False, 2))]
CALLS += [(lambda *a, h=h: e.epilogue(h(), [X], 1), ()) for h in HALF] + [(lambda *a: HALF[2]().forward(*a), (*GIVEN, 1))]

rng = random.Random(int(sys.argv[1]))

def change(value, depth=0):
    if isinstance(value, (list, tuple)) and value and depth < 3 and rng.random() < 0.6:
        found, at = list(value), rng.randrange(len(value))
        found[at] = change(found[at], depth + 1)
        return type(value)(found)
    return rng.choice(JUNK)

made = lambda v: v() if type(v).__name__ == "function" else v
done = refused = 0
for turn in range(int(sys.argv[2])):
    call, given = CALLS[turn % len(CALLS)]
    given = list(given)
    for _ in range(rng.randint(0 if turn < len(CALLS) else 1, 2)):
        if given:
            at = rng.randrange(len(given))
            given[at] = change(given[at])
    try:
        found = call(*map(made, given))
        done += 1
    except (TypeError, ValueError, MemoryError):
        refused += 1
    junk = [np.ones(n) for n in (1, 17, 90)]  # what was overwritten is found when memory moves
print(done, refused)
"""


def test_thousands_of_wrong_calls(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FUZZ, "7", "6000"],
        env={**os.environ, "PYTHONPATH": ROOT, "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "85"},
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    right, wrong = map(int, done.stdout.split())
    assert right > 100
    assert wrong > 2000


ONCE = [
    lambda out: ext.window_sums(X, K, AT, AT, AT, out, 1),
    lambda out: ext.window_spread(X, K, AT, AT, AT, out, 1),
    lambda out: ext.winners(X, K, AT, AT, AT, out, 1)[0],
    lambda out: ext.to_winners(X, np.zeros(X.shape, "u1"), K, AT, AT, AT, out, 1),
    lambda out: ext.Convolution([np.ones((1, 4, 4, 3, 3), "f4")], AT, AT, ext.DIRECT, 1)([(X, ext.COPY, None)], AT, out, None, 1)[
        0
    ],
    lambda out: ext.Scatter([np.ones((1, 4, 4, 3, 3), "f4")], AT, AT, 1)([(X, ext.COPY, None)], AT, out, 1)[0],
]


@pytest.mark.parametrize("call", ONCE)
def test_extents_are_read_once(call):
    """What the check has used up is used by the result, too."""
    expected = call(OUT)
    assert np.array_equal(call(iter(OUT)), expected)
    assert np.array_equal(call(n for n in OUT), expected)
    assert np.array_equal(call(np.array(OUT)), expected)
    for wrong in (iter((6,)), (6, 6, 6), None, (6, "6"), (6, 6.0)):
        with pytest.raises((TypeError, ValueError)):
            call(wrong)


def test_room_reads_extents_once():
    assert ext.new_array(iter((2, 3)), "f8").shape == (2, 3)
    with pytest.raises(TypeError, match="float32 or float64"):
        ext.new_array((2, 3), "i4")


@pytest.mark.parametrize("kind", [ext.Convolution, ext.Scatter, ext.LSTM, ext.Epilogue])
def test_what_was_not_made_refuses(kind):
    half = kind.__new__(kind)
    rule = (ext.SIGNAL, False, 0.0, 0.1, 0.1)
    calls = {
        ext.Convolution: lambda: half([(X, ext.COPY, None)], AT, OUT, None, 1),
        ext.Scatter: lambda: half([(X, ext.COPY, None)], AT, OUT, 1),
        ext.LSTM: lambda: half.forward(np.ones((1, 2, 3), "f4"), None, (None, None), ext.LAST, rule, 1),
        ext.Epilogue: lambda: ext.epilogue(half, [X], 1),
    }
    with pytest.raises(ValueError, match="was not"):
        calls[kind]()


def test_none_is_no_finish():
    with pytest.raises(TypeError):
        ext.epilogue(None, [X], 1)


@pytest.mark.parametrize("threads", [2**31, 2**63, 10**40])
def test_more_threads_than_an_int_can_count(threads):
    assert (ext.dense(X[0, 0], np.ones((4, 5), "f4"), threads) == 4).all()


def test_an_array_that_lies_about_itself():
    """Of a subclass nothing is believed but its memory."""

    class Liar(np.ndarray):
        dtype = property(lambda self: np.dtype("f8"))  # type: ignore[assignment]
        shape = property(lambda self: (1000, 1000))  # type: ignore[assignment]
        strides = property(lambda self: (8000, 8))  # type: ignore[assignment]

    lie = np.ones((6, 4), "f4").view(Liar)
    assert ext.dense(lie, np.ones((4, 5), "f4"), 1).shape == (6, 5)
    short = np.ones((6, 4), "i2").view(Liar)
    with pytest.raises(TypeError):
        ext.dense(short, np.ones((4, 5)), 1)
