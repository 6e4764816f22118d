"""What a backend is asked for is declared: a stub that gives steps alone computes, and nothing is decided by a printed label."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model
from lrp_ref import layers as L
from lrp_ref.lazy_dataclass import lazy_dataclass
from lrp_ref.propagate import plan as plans
from lrp_ref.propagate.reference_step import ReferenceStep
from lrp_ref.step import Backend

kernels = pytest.importorskip("lrp_ref.kernels")
SOURCES = Path(lrp_ref.__file__).parent

MODEL = Model.sequential([L.Conv(np.ones((2, 1, 2, 2))), L.ReLU(), L.MaxPool(2), L.Flatten(), L.Dense([[1.0], [-2.0]])])
X = np.arange(9.0).reshape(1, 1, 3, 3)


@lazy_dataclass(frozen=True, eq=False)
class Stub(ReferenceStep):
    """The definition under another name, which says no more of itself than it must."""

    backend = "stub"
    label = "compiled, but in name alone"


@pytest.fixture
def stub(monkeypatch):
    """A backend whose one module gives steps and nothing else."""
    record = Backend(
        "stub",
        step_for=lambda context, node: Stub((node,), context.rules[node.name], with_ledger=context.with_ledger),
    )
    module = ModuleType("lrp_ref.kernels.stub")
    module.BACKEND = record
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(kernels.NEEDS, "stub", "numpy")
    names = (*plans.BACKENDS, "stub")
    monkeypatch.setattr(plans, "BACKENDS", names)
    monkeypatch.setattr("lrp_ref.propagate.versions.BACKENDS", names)
    return record


def test_a_record_and_a_line_are_a_backend(stub):
    made, definition = (
        Explainer(MODEL, "epsilon_plus", backend=backend, ledger=True, keep="all") for backend in ("stub", "reference")
    )
    assert "stub" in kernels.installed()
    assert all(type(step) is Stub for step in made.plan().steps)
    one, other = made(X), definition(X)
    assert (one.backend, made.plan().described) == ("stub", "float64, backend stub")
    for name, relevance in other.relevances.items():
        assert np.array_equal(one.relevances[name], relevance)
    assert one.ledger.rows() == other.ledger.rows()


def test_a_label_decides_nothing(stub):
    """A step that calls itself compiled is no step of the core: it makes columns, and what it takes is counted."""
    made, definition = (Explainer(MODEL, "epsilon_plus", backend=backend) for backend in ("stub", "reference"))
    assert made.plan().steps[0].label.startswith("compiled")
    # The reference makes its modified weights anew, which a step of a backend has no need to.
    assert 0 < made.memory_needed((1, 1, 3, 3)) <= definition.memory_needed((1, 1, 3, 3))


def test_no_source_asks_a_step_what_it_does_not_declare():
    asked = re.compile(r"getattr\((self\.)?(step|inner)|\.label\.startswith|\.label (==|!=) ")
    wrong = [
        path.name
        for folder in ("kernels", "propagate")
        for path in sorted((SOURCES / folder).rglob("*.py"))
        if asked.search(path.read_text(encoding="utf-8"))
    ]
    assert not wrong


@pytest.mark.parametrize("name", [name for name in lrp_ref.BACKENDS if name != "reference"])
def test_each_backend_is_one_record(name):
    record = plans.backend_named(name)
    assert record.name == name
    message = np.array([[[1.0, np.nan]], [[np.inf, 0.0]]])
    assert not record.finite(message[:1], 1)
    assert not record.finite(message[1:], 1)
    sums, sizes = record.amounts(np.array([[[1.0, -3.0]]]), np.array([[2.0, 1.0]]), 1)
    assert (sums.tolist(), sizes.tolist()) == ([[-1.0]], [[5.0]])


def test_a_backend_that_lacks_its_extra_names_it(monkeypatch):
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    assert kernels.installed() == ()
    assert "pip install 'lrp_ref[numba]'" in str(kernels.missing("jit"))
    assert kernels.missing("compiled") is None
    assert kernels.missing(["jit"]) is None
