"""What a person can get wrong, through the front door: one row for each way, with the message that says what to do instead.

The details are tested where they belong (test_model, test_heads, test_npz, test_rules_refusals, …); here nothing is mocked and
nothing is called but what a user calls.
"""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, composites, errors, explain, rules
from lrp_ref import layers as L

weight = np.arange(12.0).reshape(3, 1, 2, 2) / 8 - 0.5


def network(*end: L.Layer, **options) -> Model:
    """Images (N, 1, 4, 4) to three scores."""
    chain = [L.Conv(weight, [0.1, 0.2, 0.3]), L.ReLU(), L.GlobalAvgPool(), L.Flatten(), L.Dense(np.eye(3) + 0.5), *end]
    return Model.sequential(chain, input_shape=(1, 4, 4), **options)


def images(count: int = 2) -> np.ndarray:
    return np.linspace(0, 1, count * 16).reshape(count, 1, 4, 4)


def loose() -> Model:
    """The same without a declared input shape: then the first layer must notice."""
    return Model(network().nodes)


def explained(x, **options):
    return lambda: explain(network(), x, **options)


def with_nan() -> np.ndarray:
    x = images()
    x[1, 0, 2, 3] = np.nan
    return x


def bounded(**options):
    return lambda: explain(network(domain=(0, 0.5), **options), images(), composite="epsilon_gamma_box")


ROWS = {
    # --- the array
    "wrong rank": (
        lambda: explain(loose(), np.ones((2, 4))),
        errors.ShapeError,
        r"^node 'conv1' \(Conv\): expected an input of shape \(N, 1, spatial, spatial\), found shape \(2, 4\)\.$",
    ),
    "wrong channel count": (
        lambda: explain(loose(), np.ones((2, 3, 4, 4))),
        errors.ShapeError,
        r"^node 'conv1' \(Conv\): expected 1 channels on axis 1, found shape \(2, 3, 4, 4\)$",
    ),
    "wrong shape": (
        explained(np.ones((2, 1, 5, 5))),
        errors.ShapeError,
        r"^input 'input' must have shape \(N, 1, 4, 4\), found \(2, 1, 5, 5\)$",
    ),
    "no batch axis": (
        explained(images()[0]),
        errors.ShapeError,
        r"The batch axis is required: x\[None\] adds it to a single sample",
    ),
    "no batch axis, no declared shape": (
        lambda: explain(loose(), images()[0]),
        errors.ShapeError,
        r"^node 'conv1' .*The batch axis is required: x\[None\] adds it to a single sample",
    ),
    "pixels": (
        explained(np.ones((1, 1, 4, 4), np.uint8)),
        errors.NumberTypeError,
        r"number type uint8; convert it, as in x\.astype",
    ),
    "NaN in the input": (
        explained(with_nan()),
        errors.NonFiniteError,
        r"^input 'input' has 1 value\(s\) that are NaN or infinite, the first nan at \(1, 0, 2, 3\)$",
    ),
    "infinity in the input": (
        explained(np.full((1, 1, 4, 4), -np.inf)),
        errors.NonFiniteError,
        "^input 'input' has .* that are NaN or infinite",
    ),
    "NaN in weights": (
        lambda: L.Dense([[1.0, np.nan]]),
        errors.NonFiniteError,
        r"^Dense\.weight has 1 value\(s\) that are NaN or infinite, the first nan at \(0, 1\)$",
    ),
    "infinity in a bias": (
        lambda: L.Conv(weight, [0.0, np.inf, 0.0]),
        errors.NonFiniteError,
        r"^Conv\.bias has 1 value\(s\) that are NaN or infinite, the first inf at \(1,\)$",
    ),
    # --- what to explain
    "target out of range": (
        explained(images(), target=3),
        errors.TargetError,
        r"^target 3 is out of range: the output has 3 element",
    ),
    "negative target": (explained(images(), target=-1), errors.TargetError, "^target -1 is out of range"),
    "one target of several": (explained(images(), target=[0, 7]), errors.TargetError, "7 is out of range"),
    "target that is no index": (explained(images(), target="cat"), errors.TargetError, "target"),
    "no head": (
        lambda: explain(network(L.Softmax()), images()),
        errors.HeadError,
        r"^the output of node 'softmax1' \(Softmax\) is a probability: choose head='logit' to explain the score before it, ",
    ),
    # --- rules
    "composite and rule": (
        explained(images(), composite="epsilon_plus", rule=rules.Zero()),
        errors.ParameterError,
        r"^give composite= or rule=, not both: rule= means composites\.uniform\(rule\)$",
    ),
    "α − β ≠ 1": (lambda: rules.AlphaBeta(2, 2), errors.ParameterError, "^AlphaBeta needs alpha − beta = 1, found 2 − 2 = 0"),
    "bounds violated": (
        bounded(),
        errors.DomainError,
        r"^node 'conv1' \(Conv\): \d+ input\(s\) leave the bounds of ZBox\(low=0\.0, high=0\.5\), the first .* at \(1, 0, 0, 0\)",
    ),
    "bounds missing": (
        explained(images(), composite="epsilon_gamma_box"),
        errors.DomainError,
        r"^node 'conv1' \(Conv\): ZBox\(\) needs bounds and the model has no domain for 'input': give low= and high=, or",
    ),
    "one bound": (
        lambda: composites.epsilon_gamma_box(low=0),
        errors.DomainError,
        "^ZBox needs both bounds, low and high, or neither",
    ),
    "unknown composite": (
        explained(images(), composite="epsilon_gama_box"),
        errors.UnknownNameError,
        r"^unknown composite 'epsilon_gama_box'\. Did you mean 'epsilon_gamma_box'\?",
    ),
    "unknown rule": (explained(images(), rule="Gama"), errors.UnknownNameError, r"^unknown rule 'Gama'\. Did you mean 'Gamma'\?"),
    "a rule for a composite, by name": (
        explained(images(), composite="gamma(0.5)"),
        errors.UnknownNameError,
        r"'gamma\(0\.5\)' is a rule and no composite: rule='gamma\(0\.5\)'",
    ),
    "a rule's class": (explained(images(), rule=rules.Gamma), errors.ParameterError, r"did you mean Gamma\(\)\?$"),
    "a rule for a composite": (
        explained(images(), composite=rules.Gamma()),
        errors.ParameterError,
        "a single rule is given as rule=",
    ),
    "unknown node in a composite": (
        lambda: Explainer(network(), composites.epsilon_plus().with_rules({"conv2": rules.Flat()})),
        errors.UnknownNameError,
        r"^unknown node 'conv2'\. Did you mean 'conv1'\? Known: conv1, relu1, ",
    ),
    "unknown node to keep": (explained(images(), keep="dens1"), errors.UnknownNameError, r"'dens1'\. Did you mean 'dense1'\?"),
    "unknown node to filter": (
        explained(images(), filter={"conv": 0}),
        errors.UnknownNameError,
        r"'conv'\. Did you mean 'conv1'\?",
    ),
    "unknown backend": (explained(images(), backend="nump"), errors.UnknownNameError, "^unknown backend 'nump'"),
    "nodes without a rule": (
        lambda: Explainer(network(), lrp_ref.Composite(((L.Dense, rules.Zero()), (L.Flatten, rules.Pass())), "mine")),
        errors.RuleError,
        r"^no rule for node 'conv1' \(Conv\): .*; node 'relu1' \(ReLU\): nothing matches \(fits: Pass\(\)\); node 'glob",
    ),
    "Pass on a layer that changes the shape": (
        explained(images(), composite=composites.epsilon_plus().with_rules({L.Conv: rules.Pass()})),
        errors.RuleError,
        r"^node 'conv1' \(Conv\): Pass needs equal shapes, Conv turns \(2, 1, 4, 4\) into \(2, 3, 3, 3\); use a rule",
    ),
    "a rule of another kind of layer": (
        explained(images(), composite=composites.epsilon_plus().with_rules({"conv1": rules.WinnerTakesAll()})),
        errors.RuleError,
        r"^no rule for node 'conv1' \(Conv\): WinnerTakesAll\(ties='lowest'\) does not serve it \(fits: a rule for linear",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), ROWS.values(), ids=ROWS)
def test_a_mistake_is_explained(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_every_error_is_one_of_ours_and_of_a_kind_that_python_knows():
    """`except lrp_ref.errors.LrpError` catches all of them; so does the built-in class that fits."""
    for _, error, _ in ROWS.values():
        assert issubclass(error, errors.LrpError)
        assert issubclass(error, (ValueError, TypeError, LookupError))


@pytest.mark.parametrize("composite", sorted(composites.PRESETS))
def test_an_empty_batch_is_no_mistake(composite):
    found = explain(network(domain=(0, 1)), images()[:0], composite=composite, ledger=True, keep="all")
    assert found.relevance.shape == (0, 1, 4, 4)
    assert found.prediction.shape == (0, 3)
    assert found.at("conv1").shape == (0, 3, 3, 3)
    assert found.residual.shape == (0,)


@pytest.mark.parametrize("damage", ["truncated", "foreign", "missing"])
def test_a_file_that_is_no_model(tmp_path, damage):
    path = tmp_path / "network.npz"
    if damage == "truncated":
        data = lrp_ref.save(network(), path).read_bytes()
        path.write_bytes(data[: len(data) // 2])
        said = "this is no readable .npz file"
    elif damage == "foreign":
        np.savez(path, heat=np.zeros(3))
        said = r"holds no lrp_ref model \(no member 'graph'\); found heat"
    else:
        said = "cannot be read: it does not exist"
    with pytest.raises(errors.FormatError, match=rf"network\.npz: .*{said}"):
        lrp_ref.load(path)


def test_no_file_is_overwritten_unless_asked(tmp_path):
    for name, save in (("m.npz", lambda *a, **k: lrp_ref.save(network(), *a, **k)), ("e.npz", explain(network(), images()).save)):
        path = tmp_path / name
        path.write_bytes(b"precious")
        with pytest.raises(errors.ExistingFileError, match=rf"{name} exists; overwrite=True replaces it$"):
            save(path)
        assert path.read_bytes() == b"precious"
        save(path, overwrite=True)
        assert path.read_bytes() != b"precious"
