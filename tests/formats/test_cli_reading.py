"""What a user of a file can say from the command line: where it ends, its shapes, its products; and what `inspect` proposes."""

import shlex

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto as T
from test_onnx_files import beside, chosen, floats, network, node, pooled

import lrp_ref
from lrp_ref import Model, errors
from lrp_ref import layers as L
from lrp_ref.cli import codes
from lrp_ref.formats.onnx import load
from support.cli_runner import run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder, proto, name="net.onnx"):
    (folder / name).write_bytes(proto.SerializeToString())
    return name


def stored(folder, array, name="x.npy"):
    np.save(folder / name, array)
    return name


def explained(*arguments):
    (record,) = run("explain", *arguments, "--json", code=0).document["explanations"]
    return record


def products():
    nodes = [node("MatMul", "x a", "p"), node("MatMul", "x b", "q"), node("Mul", "p q", "m"), node("Exp", "m", "e")]
    nodes.append(node("MatMul", "e v", "y"))
    return network(nodes, {"x": (T.FLOAT, ("N", 4))}, a=floats(4, 3), b=floats(4, 3), v=floats(3, 2))


def test_inspect_lists_what_stops_an_explanation_and_each_of_its_options_works(folder):
    net, x = written(folder, products()), stored(folder, floats(4))
    done = run("inspect", net, code=codes.REFUSED)
    assert "node 'Exp_e' (Exp) has no rule: --pass Exp_e" in done.out
    assert "output 'y' without what lies behind: --output Mul_m" in done.out
    run("explain", net, x, "--output", "Exp_e", code=codes.REFUSED)
    done = run("inspect", net, "--pass", "Exp_e", code=0)
    assert (
        "node 'Mul_m' (Multiply) does not say which of its inputs is the signal: --signal Mul_m=0, or --signal Mul_m=1"
        in done.out
    )
    done = run("explain", net, x, "--pass", "Exp_e", code=codes.REFUSED)  # a product is left, whose signal nobody knows
    assert "--signal NODE=0 or NODE=1 says it" in done.err
    for more in (["--signal", "Mul_m=1"], ["--signal", "Mul_m=0"], ["--rule", "Mul_m=HalfProduct()"]):
        run("explain", net, x, "--pass", "Exp_e", *more, code=0)
    run("explain", net, x, "--output", "MatMul_p", code=0)
    found = run("inspect", net, "--json", code=codes.REFUSED).document
    assert {"what": "output 'y' without what lies behind", "options": ["--output Mul_m"]} in found["stops"]


def test_inspect_lists_outputs_and_heads(folder):
    nodes = [node("MatMul", "x a", "s"), node("Softmax", "s", "p", axis=-1), node("Relu", "s", "r")]
    net = written(folder, network(nodes, {"x": (T.FLOAT, ("N", 4))}, "p r", a=floats(4, 3)))
    done = run("inspect", net, code=codes.REFUSED)
    assert "the network has several outputs: --output-node r" in done.out
    assert "output 'p' is squashed: --head logit --output-node p" in done.out
    for options in (["--output-node", "r"], ["--head", "logit", "--output-node", "p"], ["--output", "r"]):
        run("explain", net, stored(folder, floats(4)), *options, code=0)


def options_of(done, what):
    """The options that a line of `inspect` proposes, as the shell would take them apart."""
    (line,) = [line for line in done.out.splitlines() if line.startswith(what)]
    return [shlex.split(option) for option in line.rpartition(": ")[2].split(", or ")]


def detector():
    """Boxes by a softmax over places, as detectors have them, beside scores of classes."""
    nodes = [node("Relu", "x", "r"), node("Split", "r sizes", "d c", axis=1), node("Softmax", "d", "p", axis=-1)]
    nodes += [node("MatMul", "p v", "b"), node("Sigmoid", "c", "s"), node("Concat", "b s", "y", axis=1)]
    return network(nodes, {"x": (T.FLOAT, ("N", 6))}, v=floats(4, 2), sizes=np.array([4, 2]))


def test_inspect_proposes_the_end_of_the_branch_that_can_be_explained(folder):
    """One option explains the scores of a detector whose boxes have no rule: an end at the logits, no node of the file's."""
    net, x = written(folder, detector()), np.abs(floats(6)) + 0.5
    done = run("inspect", net, code=0)
    what = "output 'y' has elements that come from node 'MatMul_b', and node 'Softmax_p' (Softmax) has no rule; the others alone"
    assert options_of(done, what) == [["--output", "Split_d/part_1"]]
    done = run("explain", net, stored(folder, x), "--target", "0", code=codes.REFUSED)
    assert "lrp-ref inspect lists the ends and heads that leave it out" in done.err
    found = explained(net, "x.npy", "--output", "Split_d/part_1")
    assert found["targets"][0]["value"] == x[4:].max()
    model = load(folder / net, outputs="Split_d/part_1")
    assert model.outputs == ("Split_d/part_1",)
    np.testing.assert_array_equal(model(x[None]), x[None, 4:])
    with pytest.raises(errors.FormatError, match=r"unknown output 'Split_d/part_2'\. Known: r, d"):
        load(folder / net, outputs="Split_d/part_2")


def spectrogram(ends="p"):
    """A magnitude, √(re² + im²), and scores of it; names as some exporters give them, with a semicolon."""
    nodes = [node("MatMul", "x a", "re"), node("MatMul", "x b", "im"), node("Mul", "re re", "u;v")]
    nodes += [node("Pow", "im two", "w"), node("Add", "u;v w", "q"), node("Sqrt", "q", "g"), node("MatMul", "g v", "s")]
    nodes.append(node("Sigmoid", "s", "p"))
    return network(nodes, {"x": (T.FLOAT, ("N", 4))}, ends, a=floats(4, 3), b=floats(4, 3), v=floats(3, 2), two=np.float32(2))


def test_inspect_says_what_lies_below_a_squash_and_how_all_of_it_is_passed(folder):
    net, x = written(folder, spectrogram()), stored(folder, floats(4))
    done = run("inspect", net, code=codes.REFUSED)
    assert options_of(done, "output 'p' is squashed")[0] == ["--head", "logit"]
    assert "node 'Pow_w' (Pow) has no rule: --pass Pow_w" in done.out
    run("explain", net, x, "--head", "logit", code=codes.REFUSED)
    (options,) = options_of(
        run("inspect", net, "--signal", "Mul_u;v=0", code=codes.REFUSED), "output 'p' with relevance passing them"
    )
    assert options == ["--pass", "Pow_w", "--pass", "Sqrt_g"]
    run("explain", net, x, "--head", "logit", "--signal", "Mul_u;v=0", *options, code=0)
    both = run("inspect", written(folder, spectrogram("p g"), "two.onnx"), code=codes.REFUSED)
    assert options_of(both, "output 'p' is squashed")[0] == ["--head", "logit", "--output-node", "p"]


def test_options_are_quoted_where_a_shell_would_take_names_apart(folder):
    nodes = [node("MatMul", "x a", "re"), node("Exp", "re", "e;f"), node("MatMul", "e;f v", "y")]
    net = written(folder, network(nodes, {"x": (T.FLOAT, ("N", 4))}, a=floats(4, 3), v=floats(3, 2)))
    done = run("inspect", net, code=codes.REFUSED)
    assert "--pass 'Exp_e;f'" in done.out
    (options,) = options_of(done, "node 'Exp_e;f' (Exp) has no rule")
    run("explain", net, stored(folder, floats(4)), *options, code=0)


def test_the_ends_of_an_npz_or_of_the_zoo(folder):
    model = Model.sequential([L.Dense(floats(4, 3)), L.ReLU(), L.Dense(floats(3, 2))], input_shape=(4,))
    lrp_ref.save(model, folder / "net.npz")
    x = floats(4)
    found = explained("net.npz", stored(folder, x), "--output", "relu1", "--target", "2", "--rule", "*=Zero()")
    (target,) = found["targets"]
    np.testing.assert_allclose(target["value"], model.trace(x[None])["relu1"][0, 2], rtol=1e-5)
    assert "unknown node 'relu9'" in run("explain", "net.npz", "x.npy", "--output", "relu9", code=codes.USAGE).err
    assert "--fix is for .onnx files" in run("inspect", "net.npz", "--fix", "x=1", code=codes.USAGE).err
    run("inspect", "zoo:digits", "--output", "relu1", code=0)


def test_the_batch_axis_and_the_shape_of_one_input(folder):
    net = written(folder, beside((2, "N", 3)))
    done = run("inspect", net, code=codes.FILE)
    assert "if so, give --batch-axis s=1 (the model" in done.err
    assert "--fix s=0 sets a state to 0 instead" in done.err
    run("explain", net, stored(folder, floats(4)), "--fix", "s=0", code=0)
    assert "batched=" not in done.err
    done = run("inspect", net, "--batch-axis", "s=1", code=0)
    assert "input 's' has its batch along axis 1 in the file, and along axis 0 here" in done.out
    np.savez(folder / "both.npz", x=floats(4), s=floats(2, 3))
    run("explain", net, "both.npz", "--batch-axis", "s=1", code=0)
    run("explain", net, stored(folder, floats(4)), "--fix", "s=0.5", code=0)
    assert run("inspect", written(folder, pooled(), "open.onnx"), "--input-shape", "x=2x6x8", code=0).out.count("2 × 6 × 8") == 1
    assert run("inspect", "open.onnx", "--input-shape", "2x6x8", code=0).out.count("2 × 6 × 8") == 1
    assert "the file leaves extents open" in run("inspect", "open.onnx", code=0).out
    run("explain", "open.onnx", stored(folder, floats(2, 7, 5)), code=0)
    run("convert", "open.onnx", "open.npz", code=codes.FILE)
    run("convert", "open.onnx", "open.npz", "--input-shape", "2x6x8", code=0)


def test_what_picks_is_held_at_a_value(folder):
    nodes = [node("MatMul", "x a", "h"), node("Gather", "h i", "g", axis=1), node("MatMul", "g v", "y")]
    net = written(folder, network(nodes, {"x": (T.FLOAT, ("N", 4)), "i": (T.INT64, (2,))}, a=floats(4, 3), v=floats(2, 2)))
    assert "--fix i=… sets the indices to a value" in run("inspect", net, "--batch-axis", "i=0", code=codes.FILE).err
    run("explain", net, stored(folder, floats(4)), "--fix", "i=1", code=0)


def test_frames_that_are_a_sequence_have_no_batch_axis_to_choose(folder):
    """Windows of a signal go through a network each, and then through an LSTM as its steps."""
    nodes = [node("MatMul", "x a", "h"), node("Unsqueeze", "h one", "t"), node("LSTM", "t W R", "s", hidden_size=2)]
    weights = {"a": floats(4, 3), "one": np.array([1]), "W": floats(1, 8, 3), "R": floats(1, 8, 2)}
    net = written(folder, network(nodes, {"x": (T.FLOAT, ("steps", 4))}, "s", **weights))
    done = run("inspect", net, code=codes.FILE)
    assert "the steps of its sequence are the samples of what is in front" in done.err
    assert "--batch-axis" not in done.err
    run("explain", net, stored(folder, floats(4)), "--output", "MatMul_h", code=0)


def test_an_input_that_chooses_a_branch_is_held_at_a_value(folder):
    rate = node("Equal", "rate k", "c")
    constants = {"a": floats(4, 3), "b": floats(4, 3), "one": np.float32(1), "k": np.int64(16000)}
    net = written(folder, network(chosen("c", rate), {"x": (T.FLOAT, ("N", 4)), "rate": (T.INT64, ())}, **constants))
    assert "--fix rate=… sets it to a value" in run("inspect", net, code=codes.FILE).err
    run("explain", net, stored(folder, floats(4)), "--fix", "rate=16000", code=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--signal", "y"], "--signal takes NAME=VALUE, found 'y'"),
        (["--signal", "y=2"], "--signal takes NODE=0 or NODE=1, found '2'"),
        (["--fix", "x=abc"], "--fix holds an input at a number, found 'abc'"),
        (["--batch-axis", "x"], "--batch-axis takes the number of an axis, found 'x'"),
        (["--input-shape", "x=3", "--input-shape", "x=4"], "--input-shape says 'x' twice"),
        (["--input-shape", "3xa"], "--input-shape takes extents such as 224 or 3x224x224"),
        (["--input-shape", "0"], "--input-shape takes positive extents"),
    ],
)
def test_what_is_typed_wrongly_is_named(folder, options, message):
    assert message in run("inspect", written(folder, products()), *options, code=codes.USAGE).err
