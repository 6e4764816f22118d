"""The record that an explainer returns: looked at, summed up, saved."""

from __future__ import annotations

import copy
import json
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Explanation, Model, Node, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import ExistingFileError, FormatError, GraphError, ParameterError, ShapeError, UnknownNameError

MODEL = Model.sequential([L.Dense([[1.0, -1.0], [2.0, 1.0]]), L.ReLU(), L.Dense([[1.0, 2.0], [1.0, -1.0]], [0.5, 0.0])])
X = np.array([[1.0, 2.0], [3.0, -1.0]])  # hidden (5, 1) and (1, 0); scores (6.5, 9) and (1.5, 2)


def explained(target: Any = "predicted", dtype: Any = np.float64, **options: Any) -> Explanation:
    x = fractions(X) if dtype is object else X.astype(dtype)
    return Explainer(MODEL.astype(dtype), rule=rules.Zero(), keep="all", ledger=True, **options)(x, target)


def two_inputs() -> Explanation:
    nodes = (Node("sum", L.Add(), ("left", "right")), Node("scores", L.Dense([[1.0], [2.0]]), ("sum",)))
    model = Model(nodes, ("left", "right"))
    return Explainer(model, rule=rules.Zero())({"left": [[1.0, 2.0]], "right": [[3.0, 0.0]]})


def image(seed: int = 0) -> Explanation:
    model = Model.sequential([L.Flatten(), L.Dense(np.random.default_rng(seed).normal(size=(2 * 3 * 4, 2)))])
    return Explainer(model, rule=rules.Zero())(np.random.default_rng(1).normal(size=(2, 2, 3, 4)))


# ---- looking -----------------------------------------------------------------------------------------------------------


def test_its_parts():
    e = explained()
    assert e.relevance is e.relevances["input"]
    assert np.array_equal(e.prediction, MODEL(X))
    assert e.target.tolist() == [1, 1]
    assert e.value.tolist() == [9.0, 2.0]
    assert np.allclose(e.at("dense1"), [[10, -1], [2, 0]])
    assert np.allclose(e.relevance, [[3, 6], [6, -4]])
    assert np.allclose(e.total, [9, 2])
    assert np.allclose(e.residual, 0, atol=1e-14)
    assert e.dtype == np.float64
    assert not e.several
    assert (e.backend, e.precision, e.composite) == (lrp_ref.BACKENDS[-1], "float64", "uniform Zero()")


def test_several_targets_are_a_second_axis():
    e = explained("all")
    assert e.several
    assert e.relevance.shape == (2, 2, 2)
    assert e.at("relu1").shape == (2, 2, 2)
    assert e.value.tolist() == [[6.5, 9.0], [1.5, 2.0]]
    assert np.allclose(e.residual, [[0.5, 0], [0.5, 0]])
    assert np.allclose(e.ledger.bias, e.residual)


def test_several_inputs_are_a_mapping():
    e = two_inputs()
    assert set(e.relevance) == {"left", "right"}
    assert e.relevance["left"].tolist() == [[1.0, 4.0]]
    assert e.at("right").tolist() == [[3.0, 0.0]]
    assert e.total.tolist() == [8.0]


def test_nothing_can_be_changed():
    """CONV-IMMUTABLE."""
    e = explained()
    for array in (e.relevance, e.prediction, e.value, e.target, e.activations["input"], e.ledger.start):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        e.ledger["dense1"].bias[0] = 1
    with pytest.raises(TypeError):
        e.relevances["input"] = X  # type: ignore[index]
    with pytest.raises(AttributeError):
        e.value = X  # type: ignore[misc]


def test_a_node_that_was_not_kept():
    e = Explainer(MODEL)(X)
    with pytest.raises(UnknownNameError, match=r"unknown kept node 'dense1'.*keep=\('dense1',\) or keep='all'"):
        e.at("dense1")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])  # noqa: S301
def test_copies_are_equal_and_read_only(again):
    e = explained("all")
    other = again(e)
    assert all(np.array_equal(other.at(name), e.at(name)) for name in e.relevances)
    assert np.array_equal(other.target, e.target)
    assert other.ledger.to_json() == e.ledger.to_json()
    assert repr(other) == repr(e)
    assert not other.relevance.flags.writeable


def test_how_it_is_printed():
    text = repr(explained())
    for part in ("Explanation", "uniform Zero()", "[1 1]", "[9. 2.]", "residual", "input (2, 2)", "float64, backend"):
        assert part in text
    html = explained()._repr_html_()
    assert html.startswith("<table>")
    assert "uniform Zero()" in html
    assert "a given start" in repr(Explainer(MODEL)(X, start=MODEL(X)))
    assert "18/2" not in repr(explained(dtype=object))


# ---- groups of features ------------------------------------------------------------------------------------------------


def test_groups_by_labels():
    e = image()
    labels = np.array([[0, 0, 2, 2], [0, 0, 2, 2], [3, 3, 3, 3]])
    coarse = e.coarsen(labels)
    assert coarse.shape == (2, 4)
    assert np.allclose(coarse[:, 0], e.relevance[:, :, :2, :2].sum(axis=(1, 2, 3)))
    assert (coarse[:, 1] == 0).all()
    assert np.allclose(coarse.sum(axis=1), e.total)
    channels = e.coarsen(np.array([0, 1])[:, None, None])
    assert np.allclose(channels, e.relevance.sum(axis=(2, 3)))


def test_groups_by_patches():
    e = image()
    coarse = e.coarsen(2)
    assert coarse.shape == (2, 2, 2)
    assert np.allclose(coarse[:, 0, 1], e.relevance[:, :, :2, 2:].sum(axis=(1, 2, 3)))
    assert np.allclose(coarse[:, 1], e.relevance[:, :, 2:].reshape(2, 2, 2, 2).sum(axis=(1, 3)))
    assert e.coarsen(9).shape == (2, 1, 1)
    assert np.allclose(e.coarsen(1), e.relevance.sum(axis=1))


def test_groups_of_several_targets_of_a_node_and_of_rationals():
    e = explained("all", object)
    assert e.coarsen([0, 0], "dense1").tolist() == [[[Fraction(6)], [Fraction(9)]], [[Fraction(1)], [Fraction(2)]]]
    assert e.coarsen([0, 2], "dense1")[0, 0].tolist() == [Fraction(5), Fraction(0), Fraction(1)]
    assert all(type(value) is Fraction for value in e.coarsen([0, 2]).flat)


def test_groups_of_an_empty_batch():
    e = Explainer(image_model())(np.zeros((0, 2, 3, 4)))
    assert e.coarsen(2).shape == (0, 2, 2)
    assert e.coarsen(np.zeros((3, 4), dtype=int)).shape == (0, 1)
    assert e.pattern().shape == (0, 2, 3, 4)


def image_model() -> Model:
    return Model.sequential([L.Flatten(), L.Dense(np.ones((24, 2)))])


def test_groups_that_make_no_sense():
    e = image()
    with pytest.raises(ParameterError, match="non-negative integer labels"):
        e.coarsen(np.array([[0, -1, 0, 0]] * 3))
    with pytest.raises(ParameterError, match="non-negative integer labels"):
        e.coarsen(np.ones((3, 4)))
    with pytest.raises(ParameterError, match="non-negative integer labels"):
        e.coarsen(True)
    with pytest.raises(ShapeError, match=r"labels of shape \(5,\) do not broadcast against a sample of \(2, 3, 4\)"):
        e.coarsen([0, 1, 2, 3, 4])
    with pytest.raises(ParameterError, match="patches need a size of at least 1 and two spatial axes, found 0"):
        e.coarsen(0)
    with pytest.raises(ParameterError, match="two spatial axes"):
        explained().coarsen(2)
    with pytest.raises(GraphError, match="name which input's relevance to coarsen: left, right"):
        two_inputs().coarsen([0, 1])
    assert two_inputs().coarsen([0, 0], "left").tolist() == [[5.0]]


# ---- the relevant pattern ----------------------------------------------------------------------------------------------


def test_the_pattern_lies_between_0_and_the_input():
    e = image()
    pattern, x = e.pattern(), e.activations["input"]
    ratio = pattern / x
    assert (ratio >= 0).all()
    assert (ratio <= 1).all()
    best = e.relevance.reshape(2, -1).argmax(axis=1)
    flat, cells = pattern.reshape(2, -1), x.reshape(2, -1)
    assert all(flat[n, best[n]] == cells[n, best[n]] for n in range(2))
    assert (pattern[e.relevance <= 0] == 0).all()


def test_the_pattern_by_hand():
    """CONV-PATTERN: R = (3, 6) at x = (1, 2), (6, −4) at (3, −1)."""
    assert np.allclose(explained().pattern(), [[0.5, 2], [3, 0]])
    assert explained("all").pattern().shape == (2, 2, 2)
    assert np.array_equal(explained("all").pattern()[:, 1], explained().pattern())
    assert explained(dtype=object).pattern().tolist() == [[Fraction(1, 2), Fraction(2)], [Fraction(3), Fraction(0)]]


def test_the_pattern_of_nothing_is_nothing():
    e = Explainer(MODEL, rule=rules.Zero())(X, start=-abs(MODEL(X)) * [[0, 0]])
    assert not e.pattern().any()


def test_the_pattern_of_several_inputs_is_not_defined():
    with pytest.raises(GraphError, match="defined for one input"):
        two_inputs().pattern()


# ---- saving ------------------------------------------------------------------------------------------------------------


def test_a_saved_explanation_is_read_without_pickle(tmp_path):
    e = explained("all")
    path = e.save(tmp_path / "heat.npz")
    with np.load(path, allow_pickle=False) as file:
        assert np.array_equal(file["relevance/input"], e.relevance)
        assert np.array_equal(file["relevance/dense1"], e.at("dense1"))
        assert np.array_equal(file["prediction"], e.prediction)
        assert np.array_equal(file["target"], e.target)
        assert np.array_equal(file["residual"], e.residual)
        about = json.loads(str(file["about"]))
    assert about["format"] == "lrp_ref.explanation"
    assert about["version"] == 1
    assert about["composite"] == "uniform Zero()"
    assert about["inputs"] == ["input"]
    assert about["ledger"]["entries"][0]["node"] == "start at dense2"


def test_rationals_are_saved_as_strings(tmp_path):
    e = explained(dtype=object)
    with np.load(e.save(tmp_path / "exact.npz"), allow_pickle=False) as file:
        assert [Fraction(str(value)) for value in file["relevance/input"].flat] == e.relevance.ravel().tolist()
    assert json.loads(e.to_json())["relevance/input"] == [["3", "6"], ["6", "-4"]]


def test_a_given_start_has_no_target(tmp_path):
    e = Explainer(MODEL)(X, start=MODEL(X))
    with np.load(e.save(tmp_path / "heat.npz")) as file:
        assert "target" not in file
        assert json.loads(str(file["about"]))["ledger"] is None


def test_no_file_is_overwritten_unless_asked(tmp_path):
    """CONV-NO-OVERWRITE."""
    e, path = explained(), tmp_path / "heat.npz"
    path.write_text("precious")
    with pytest.raises(ExistingFileError, match=r"heat\.npz exists; overwrite=True replaces it"):
        e.save(path)
    assert path.read_text() == "precious"
    e.save(str(path), overwrite=True)
    assert np.load(path)["value"].tolist() == [9.0, 2.0]


def test_an_explanation_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    e, path = explained(), tmp_path / "heat.npz"
    before = e.save(path).read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(np.lib.format, "write_array", full)
        with pytest.raises(FormatError, match=r"heat\.npz cannot be written: No space left on device"):
            e.save(path, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["heat.npz"]
    assert e.save(tmp_path / "again.npz").read_bytes() == before
    with pytest.raises(FormatError, match=r"missing.*heat\.npz cannot be written: No such file"):
        e.save(tmp_path / "missing" / "heat.npz")


@pytest.mark.parametrize(("name", "found"), [("heat.png", r"\.png"), ("heat", "without a suffix")])
def test_an_explanation_is_saved_as_npz_only(tmp_path, name, found):
    with pytest.raises(ParameterError, match=rf"saved as \.npz, not {found}"):
        explained().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_as_json():
    found = json.loads(explained().to_json(indent=1))
    assert np.allclose(found["relevance/dense1"], [[10, -1], [2, 0]])
    assert found["value"] == [9.0, 2.0]
    assert found["ledger"]["totals"]["start"] == [9.0, 2.0]
    assert json.loads(Explainer(MODEL)(X).to_json())["ledger"] is None
