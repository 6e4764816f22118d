"""Explainers under all circumstances: little memory, many threads, after a fork, after a pickle, with wrong choices."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_backends_bits import bits, same

import lrp_ref
from lrp_ref import Explainer, Model, errors
from lrp_ref import layers as L
from lrp_ref.resources import chosen_threads
from support.one_layer import PRECISIONS, ROUNDOFF
from support.wide_net import pictures, wide

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)
compiled = pytest.mark.skipif("compiled" not in lrp_ref.BACKENDS, reason="the compiled core is not built")
PRESET = "epsilon_gamma_box"


# ---- memory ------------------------------------------------------------------------------------------------------------


@each_precision
@each_backend
def test_little_memory_changes_nothing_but_rounding(backend, precision):
    """In L1 at every node 200u (measured: 14u): direct convolutions in place of filtered ones, nothing at all elsewhere."""
    normal, low = (
        Explainer(wide(), PRESET, backend=backend, precision=precision, keep="all", memory=memory) for memory in ("normal", "low")
    )
    one, two = normal(pictures(2)), low(pictures(2))
    if backend != "compiled":
        assert not same(one, two)
    else:
        assert "F(" in str(normal.plan())
        assert "F(" not in str(low.plan())
    for name in one.relevances:
        R = one.at(name)
        assert abs(two.at(name) - R).sum() <= 200 * ROUNDOFF[precision] * abs(R).sum(), name


@compiled
def test_little_memory_takes_less():
    """Transformed weights are four times as large in F(4×4) as the weights themselves."""
    layers = [L.Conv(np.ones((64, 64, 3, 3)) / 100, padding=1), L.ReLU(), L.Flatten(), L.Dense(np.ones((64 * 400, 1)))]
    sizes = {}
    for memory in ("normal", "low"):
        model = Model.sequential(layers)
        Explainer(model, "epsilon_plus", memory=memory)(np.ones((1, 64, 20, 20)))
        sizes[memory] = model._memo.size
    weight = 64 * 64 * 9 * 8
    assert sizes["low"] <= 6 * weight < 10 * weight <= sizes["normal"]


NO_MEMORY = """
import resource, sys
import numpy as np
import lrp_ref
from support.wide_net import pictures, wide
backend, precision = sys.argv[1:3]
explain = lrp_ref.Explainer(wide(), "epsilon_gamma_box", backend=backend, precision=precision, threads=2)
x = pictures(1)
expected = explain(x).relevance  # everything is imported, and the threads are there
many = np.repeat(x, 40, axis=0)
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
for more in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_AS, (size + more, resource.RLIM_INFINITY))
    try:
        explain(many)
        print("enough")
    except MemoryError:
        print("MemoryError")
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert np.array_equal(explain(x).relevance, expected)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.parametrize("precision", ["float64", "float32"])
@each_backend
def test_no_memory_is_a_memory_error_and_then_all_is_well(backend, precision):
    """Whichever allocation it is that fails: Python's, NumPy's or the C core's."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    limits = (0, 2_000_000, 5_000_000, 12_000_000, 2_000_000_000)
    command = [sys.executable, "-c", NO_MEMORY, backend, precision, *map(str, limits)]
    done = subprocess.run(command, timeout=120, capture_output=True, check=False, env=environment, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()[:2]) == {"MemoryError"}
    assert done.stdout.split()[-1] == "enough"
    assert len(done.stdout.split()) == len(limits)


# ---- threads and processes ---------------------------------------------------------------------------------------------


@each_backend
def test_explainers_in_several_python_threads_at_once(backend):
    """Of one model and of several, each with threads of its own; whoever comes first prepares the weights."""
    wide().forget()
    made = [
        Explainer(wide(), preset, backend=backend, precision=precision, threads=threads, keep="all")
        for preset in (PRESET, "epsilon_plus")
        for precision, threads in (("float64", 1), ("float32", 2), ("fast", 3))
    ]
    found: dict[int, Any] = {}
    barrier = threading.Barrier(len(made))

    def work(i: int) -> None:
        barrier.wait()
        found[i] = [made[i](pictures(2)) for _ in range(2)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(made))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert len(found) == len(made)
    for i, explain in enumerate(made):
        expected = explain(pictures(2))
        assert all(not same(e, expected) for e in found[i])


def in_child(explain: Explainer, connection: Any) -> None:
    connection.send_bytes(explain(pictures(2)).relevance.tobytes())
    connection.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@compiled
@each_precision
def test_a_forked_child_explains(precision):
    """An explainer whose threads are at work before the fork, and again in parent and child."""
    explain = Explainer(wide(), PRESET, backend="compiled", precision=precision, threads=3)
    expected = explain(pictures(2)).relevance.tobytes()
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=in_child, args=(explain, there))
    child.start()
    there.close()
    assert here.poll(60), "the child does not answer"
    assert here.recv_bytes() == expected == explain(pictures(2)).relevance.tobytes()
    child.join(60)
    assert child.exitcode == 0


@each_precision
@each_backend
def test_a_pickled_explainer_explains_the_same(backend, precision):
    """What was prepared does not travel; choices do, `threads` as it was given."""
    explain = Explainer(wide(), PRESET, backend=backend, precision=precision, keep="all", threads=2, memory="low")
    expected = explain(pictures(2))
    again = pickle.loads(pickle.dumps(explain))  # noqa: S301
    assert again.resources == explain.resources
    assert len(pickle.dumps(explain)) < 2 * sum(a.nbytes for node in wide().nodes for a in node.layer.parameters.values())
    assert not same(again(pictures(2)), expected)
    assert bits(again(pictures(2)).prediction) == bits(expected.prediction)


# ---- choices -----------------------------------------------------------------------------------------------------------


def test_threads_are_those_asked_for_those_of_the_environment_or_those_of_the_process(monkeypatch):
    monkeypatch.delenv("LRP_REF_NUM_THREADS", raising=False)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert chosen_threads(None) == available
    assert Explainer(wide(), PRESET).resources.threads == available
    for given in ("3", " 3 "):
        monkeypatch.setenv("LRP_REF_NUM_THREADS", given)
        assert Explainer(wide(), PRESET).resources.threads == 3
    assert Explainer(wide(), PRESET, threads=2).resources.threads == 2
    for empty in ("", " "):
        monkeypatch.setenv("LRP_REF_NUM_THREADS", empty)
        assert chosen_threads(None) == available


@pytest.mark.parametrize("value", ["0", "-1", "2.0", "two", "²", "1e3", "0x2"])
def test_a_wrong_number_of_threads_in_the_environment_is_named(monkeypatch, value):
    monkeypatch.setenv("LRP_REF_NUM_THREADS", value)
    with pytest.raises(errors.ParameterError, match="LRP_REF_NUM_THREADS must be an integer of at least 1, found"):
        Explainer(wide(), PRESET)


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, np.nan, [2]], ids=repr)
def test_a_wrong_number_of_threads_is_an_error(value):
    with pytest.raises(errors.ParameterError, match="threads"):
        Explainer(wide(), PRESET, threads=value)


@pytest.mark.parametrize("value", [np.int64(2), np.uint8(2)])
def test_whole_numbers_of_any_type_are_threads(value):
    explain = Explainer(wide(), PRESET, threads=value)
    assert explain.resources.threads == 2
    assert type(explain.resources.threads) is int
    assert explain(pictures(1)).relevance.any()


@compiled
def test_more_threads_than_work_or_processors_serve_all_the_same():
    one, many = (Explainer(wide(), PRESET, threads=threads)(pictures(1)) for threads in (1, 1000))
    assert not same(one, many)


def test_other_wrong_choices_name_the_right_ones():
    with pytest.raises(errors.UnknownNameError, match=r"unknown memory 'lots'.*normal.*low"):
        Explainer(wide(), PRESET, memory="lots")
    with pytest.raises(errors.UnknownNameError, match=r"unknown precision 'float16'.*float64.*float32.*fast"):
        Explainer(wide(), PRESET, precision="float16")
    with pytest.raises(errors.UnknownNameError, match="unknown backend 'cuda'"):
        Explainer(wide(), PRESET, backend="cuda")
    for name in ("memory", "precision", "backend"):
        with pytest.raises(errors.LrpError, match=name):
            Explainer(wide(), PRESET, **{name: ["low"]})
