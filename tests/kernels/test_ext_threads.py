"""The compiled core's threads: several callers, forks, signals, the end of the interpreter, and no memory."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from lrp_ref.arrays import Array
from support.ext_by_hand import bits

ext = pytest.importorskip(
    "lrp_ref.kernels.compiled._core", reason="the compiled core is not built: python setup.py build_ext --inplace"
)


def some_work(threads: int) -> list[Array]:
    """A little of everything that runs in the pool."""
    rng = np.random.default_rng(8)
    x, w = rng.standard_normal((2, 40, 40, 20)).astype(np.float32), rng.standard_normal((1, 20, 20, 3, 3)).astype(np.float32)
    window = ((2, 2), (2, 2), (1, 1), (0, 0))
    best, winner = ext.winners(x, *window, (20, 20), threads)
    (y,) = ext.Convolution([w], (1, 1), (1, 1), ext.DIRECT, threads)([(x, ext.COPY, None)], (1, 1), (40, 40), None, threads)
    (lower,) = ext.Scatter([w], (2, 2), (1, 1), threads)([(best, ext.COPY, None)], (1, 1), (40, 40), threads)
    dense = ext.dense(y.reshape(2, -1), rng.standard_normal((32000, 10)).astype(np.float32), threads)
    return [best, y, lower, dense, ext.to_winners(best, winner, *window, (40, 40), threads)]


def test_many_python_threads_at_once():
    """One of them has the pool, the others work alone; all have the same bits."""
    expected, wrong = [bits(y) for y in some_work(1)], []

    def work(number: int) -> None:
        found = {threads: [bits(y) for y in some_work(threads)] for threads in (1, 2, 3, 5)}
        wrong.extend((number, threads) for threads in found if found[threads] != expected)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert not any(worker.is_alive() for worker in workers)
    assert not wrong


def in_child(connection: Any) -> None:
    connection.send_bytes(b"".join(y.tobytes() for y in some_work(3)))
    connection.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("busy", [False, True])
def test_a_forked_child_has_a_pool_of_its_own(busy):
    """Also where another thread of the parent was in the pool at that moment."""
    expected, stop = b"".join(y.tobytes() for y in some_work(3)), threading.Event()

    def work() -> None:
        while busy and not stop.is_set():
            some_work(2)

    worker = threading.Thread(target=work)
    worker.start()
    context = multiprocessing.get_context("fork")
    try:
        for _ in range(3):
            here, there = context.Pipe(duplex=False)
            child = context.Process(target=in_child, args=(there,))
            child.start()
            there.close()
            assert here.poll(60), "the child does not answer"
            assert here.recv_bytes() == expected
            child.join(60)
            assert child.exitcode == 0
    finally:
        stop.set()
        worker.join()


ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

LEAVE = """
import threading
import numpy as np
from lrp_ref.kernels.compiled import _core
x, w = np.ones((64, 3000), np.float32), np.ones((3000, 3000), np.float32)
def work():
    while True:
        _core.dense(x, w, 3)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
_core.dense(x, w, 3)
"""


def test_the_interpreter_ends_while_threads_work():
    """Workers hold nothing that the end of the process could wait for."""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", LEAVE], timeout=60, capture_output=True, check=False, env=ENVIRONMENT)
        assert (done.returncode, done.stderr) == (0, b"")


def test_an_interrupt_reaches_the_interpreter():
    """Workers block signals, so that a signal is the main thread's."""
    script = (
        "import os, signal, test_ext_threads as t\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it otherwise
        "t.some_work(3)\nos.kill(os.getpid(), signal.SIGINT)\nt.some_work(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, check=False, env=ENVIRONMENT)
    assert b"KeyboardInterrupt" in done.stderr


NO_MEMORY = """
import resource, sys, numpy as np
from lrp_ref.kernels.compiled import _core as ext
s, w = np.zeros((1, 300, 300, 32), np.float32), np.zeros((1, 32, 32, 3, 3), np.float32)
x, weight = np.zeros((40, 5_000_000), np.float32), np.zeros((5_000_000, 1), np.float32)
narrow, flat = np.zeros((64, 1, 1, 3, 3), np.float32), np.zeros((1, 2, 4_000_000, 64), np.float32)
scatter, deep = ext.Scatter([w], (2, 2), (1, 1), 1), ext.Convolution([narrow], (1, 1), (1, 1), ext.DIRECT, 1)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (48 << 20),) * 2)
wide = np.broadcast_to(np.float32(0), (1, 2048, 2048, 3, 3))
cells = ((2, 2), (2, 2), (1, 1), (0, 0))
for attempt in (
    lambda: ext.dense(x, weight, 1),
    lambda: ext.dense(x, np.asfortranarray(weight), 1),
    lambda: ext.Scatter([wide], (2, 2), (1, 1), 1),
    lambda: scatter([(s, ext.COPY, None)], (1, 1), (9000, 9000), 1),
    lambda: ext.window_spread(s, *cells, (6000, 6000), 1),
    lambda: ext.winners(s, *cells, (6000, 6000), 1),
    lambda: ext.epilogue(ext.Epilogue(None, False, False, []), [flat], 1),
    lambda: ext.window_spread(s[:, :1, :1].copy(), (2**30, 1), (1, 1), (1, 1), (2**30 - 1, 0), (1, 1), 1),
):
    try:
        attempt()
    except MemoryError:
        continue
    sys.exit("no MemoryError")
assert (scatter([(s, ext.COPY, None)], (1, 1), (60, 60), 2)[0] == 0).all()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's here")
def test_no_memory_is_a_memory_error():
    """For results, prepared weights and the scratch of kernels; and threads that cannot be started are done without."""
    done = subprocess.run([sys.executable, "-c", NO_MEMORY], timeout=60, capture_output=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr.decode()
