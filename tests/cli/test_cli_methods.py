"""`lrp-ref methods`, and `lrp-ref explain --method`."""

import json

import numpy as np
import pytest

from lrp_ref import methods, zoo
from lrp_ref.cli import codes
from lrp_ref.cli.formulas import readable
from support.cli_runner import run


@pytest.fixture(scope="module")
def digit(tmp_path_factory):
    path = tmp_path_factory.mktemp("digits") / "digit.npy"
    np.save(path, zoo.digits().images[:1])
    return path


def explained(digit, *options):
    return json.loads(run("explain", "zoo:digits", digit, "--json", *options).out)


def test_every_method_is_in_the_table():
    document = json.loads(run("methods", "--json").out)
    assert [entry["name"] for entry in document["methods"]] == list(methods.METHODS)
    text = run("methods").out
    for name, kind in methods.METHODS.items():
        assert f"{name}(" in text
        assert readable(kind.formula) in text
        assert kind.source in text
        assert "tilde" not in readable(kind.formula)


def test_a_method_and_its_parameters_are_said_and_saved(digit, tmp_path):
    options = ("--method", "integrated-gradients", "--set", "steps=5", "--set", "rule=right", "--target", "3")
    document = explained(digit, *options)
    assert (document["method"], document["parameters"]) == ("IntegratedGradients", {"steps": 5, "rule": "right", "baseline": 0})
    assert "composite" not in document
    wanted = methods.IntegratedGradients(zoo.load("digits"), steps=5, rule="right")(zoo.digits().images[:1], target=3)
    (target,) = document["explanations"][0]["targets"]
    assert target["total"] == pytest.approx(float(wanted.total[0]))
    assert target["shared"] == pytest.approx(float(wanted.shared[0]))
    assert target["ledger"] is None
    run("explain", "zoo:digits", digit, *options, "--out", tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz") as saved:
        assert json.loads(str(saved["about"]))["parameters"] == document["parameters"]
        assert np.array_equal(saved["relevance/input"], wanted.relevance)


def test_what_a_method_adds_up_to_is_printed(digit):
    text = run("explain", "zoo:digits", digit, "--method", "IntegratedGradients", "--set", "steps=3").out
    assert "zoo:digits, method IntegratedGradients(steps=3, rule=midpoint, baseline=0), float32" in text
    assert "what the method shares out" in text
    assert "arrives" not in text
    assert "shares nothing out" in run("explain", "zoo:digits", digit, "--method", "sensitivity", "--set", "channels=max").out
    assert "shares nothing out" in run("explain", "zoo:digits", digit, "--method", "gradient", "--top", "2").out


def test_many_samples_have_a_table(tmp_path):
    np.save(tmp_path / "digits.npy", zoo.digits().images[:3])
    text = run("explain", "zoo:digits", tmp_path / "digits.npy", "--method", "gradienttimesinput").out
    assert "3 explained" in text


def test_one_number_for_all_channels_has_no_x(digit):
    (target,) = explained(digit, "--method", "sensitivity", "--set", "channels=max")["explanations"][0]["targets"]
    assert target["positive"][0]["x"] is not None  # one channel: the shapes are the same


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "gradiant"), "Did you mean 'Gradient'"),
        (("--set", "steps=3"), "--set gives parameters of --method NAME"),
        (("--method", "integratedgradients", "--set", "step=3"), "Did you mean 'steps'"),
        (("--method", "integratedgradients", "--set", "steps"), "PARAMETER=VALUE"),
        (("--method", "integratedgradients", "--set", "steps=3", "--set", "steps=4"), "gives steps twice"),
        (("--method", "integratedgradients", "--set", "steps=0"), "steps must be at least 1"),
        (("--method", "integratedgradients", "--set", "steps=few"), "steps must be an integer"),
        (("--method", "smoothgrad", "--set", "seed=1.5"), "seed must be an integer"),
        (("--method", "gradient", "--composite", "deep_taylor"), "--composite is of LRP"),
        (("--method", "gradient", "--rule", "*=Flat()", "--ledger"), "--rule, --ledger is of LRP"),
    ],
)
def test_what_is_asked_for_is_refused_where_it_cannot_be_done(digit, options, message):
    done = run("explain", "zoo:digits", digit, *options, code=codes.USAGE)
    assert message in done.err
