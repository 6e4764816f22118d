"""What is done once for a network takes time linear in its nodes: the interpreter's instructions are counted."""

import sys

import numpy as np
import pytest

from lrp_ref import BACKENDS, Explainer, Model, Node
from lrp_ref import layers as L
from lrp_ref.network.canonize import Merge, canonized


def instructions(work):
    """How many instructions of bytecode `work` takes."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def norm():
    return L.BatchNorm(np.zeros(2), np.ones(2), np.full(2, 2.0), np.ones(2))


def conv():
    return L.Conv(np.eye(2)[:, :, None, None])


def chain(*kinds):
    def made(count):
        layers = [kind() for _ in range(count // len(kinds)) for kind in kinds]
        return Model.sequential(layers, input_shape=(2, 3, 3) if conv in kinds or norm in kinds else (2,))

    return made


def residual(count):
    nodes, last = [], "input"
    for i in range(count // 2):
        nodes += [Node(f"relu{i}", L.ReLU(), (last,)), Node(f"add{i}", L.Add(), (f"relu{i}", last))]
        last = f"add{i}"
    return Model(tuple(nodes), input_shape=(2,))


def fan(count):
    nodes = [Node(f"relu{i}", L.ReLU(), ("input",)) for i in range(count)]
    return Model((*nodes, Node("all", L.Concat(count, 1), tuple(node.name for node in nodes))), input_shape=(2,))


NETWORKS = {
    "activations": chain(L.ReLU),
    "dense": chain(lambda: L.Dense(np.eye(2)), L.ReLU),
    "folded behind": chain(conv, norm, L.ReLU),
    "folded before": chain(norm, conv, L.ReLU),
    "nothing to fold into": chain(norm, L.ReLU),
    "residual": residual,
    "one reader of all": fan,
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("backend", [b for b in BACKENDS if b != "jit"])
def test_twice_the_nodes_take_twice_the_planning(name, backend):
    small, large = (NETWORKS[name](count) for count in (90, 180))
    Explainer(small, backend=backend).plan()  # what is imported and made for the first network alone
    models = (small.astype(np.float32), large.astype(np.float32))
    taken = [instructions(lambda m=m: Explainer(m, backend=backend, ledger=True).plan()) for m in models]
    assert 1.5 < taken[1] / taken[0] < 2.2


def test_twice_the_nodes_take_twice_the_ledger():
    explained = [Explainer(chain(L.ReLU)(count), ledger=True)(np.ones((1, 2))) for count in (90, 90, 180)]
    taken = [instructions(lambda e=e: (e.ledger.flags, e.ledger.table())) for e in explained]
    assert 1.5 < taken[2] / taken[1] < 2.2


def test_a_fold_that_makes_room_for_one_before_it():
    """The batch norm in front of a Scale can be folded when the Scale, later in the order, has been."""
    scale, weight = L.Scale(np.full((2, 1, 1), 4.0)), np.arange(4.0).reshape(2, 2, 1, 1)
    found, merges = canonized(Model.sequential([norm(), scale, L.Conv(weight), L.ReLU()], input_shape=(2, 3, 3)))
    assert merges == (Merge("scale1", ("conv1",)), Merge("batchnorm1", ("conv1",)))
    assert [node.name for node in found.nodes] == ["conv1", "relu1"]
    x = np.arange(18.0).reshape(1, 2, 3, 3)
    factor = norm().factor[:, None, None]
    expected = np.maximum(np.einsum("kj,njhw->nkhw", weight[:, :, 0, 0], 4 * (x * factor + 1)), 0)
    np.testing.assert_allclose(found(x), expected, rtol=1e-14)


def test_folds_on_both_sides_of_a_transpose():
    """Two Scales behind a convolution with channels last, one after the other; both reach it."""
    layers = [conv(), L.Transpose((0, 2, 3, 1)), L.Scale(np.array([2.0, 4.0])), L.Scale(np.array([8.0, 16.0])), L.ReLU()]
    found, merges = canonized(Model.sequential(layers, input_shape=(2, 3, 3)))
    assert merges == (Merge("scale1", ("conv1",)), Merge("scale2", ("conv1",)))
    assert [node.name for node in found.nodes] == ["conv1", "transpose1", "relu1"]
    assert found["conv1"].layer.weight[:, :, 0, 0].tolist() == [[16.0, 0.0], [0.0, 64.0]]


def test_an_output_that_is_folded_away():
    nodes = (Node("conv", conv(), ("input",)), Node("norm", norm(), ("conv",)), Node("relu", L.ReLU(), ("norm",)))
    found, merges = canonized(Model(nodes, outputs=("norm", "relu"), input_shape=(2, 3, 3)))
    assert merges == (Merge("norm", ("conv",)),)
    assert found.outputs == ("conv", "relu")
