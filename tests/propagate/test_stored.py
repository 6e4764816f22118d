"""Some samples of an explanation, several as one, files and tables."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Explanation, Model, Node, errors, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.propagate.samples import join

MODEL = Model.sequential([L.Dense([[1.0, -1.0], [2.0, 1.0]]), L.ReLU(), L.Dense([[1.0, 2.0], [1.0, -1.0]], [0.5, 0.0])])
X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25]])
RNN = Model.sequential([L.RNN([[1.0, 0.5], [0.25, 1.0]], [[0.5, 0.0], [0.0, 0.5]], [0.25, 0.5])])


def explained(dtype=np.float64, **choices) -> Explanation:
    x = fractions(X) if dtype is object else X.astype(dtype)
    explainer = Explainer(MODEL.astype(dtype), rule=rules.Epsilon(0.25), keep="all", ledger=True)
    return explainer(x, **choices)


def same(one: Explanation, two: Explanation) -> bool:
    arrays = [e.arrays() | {f"x/{k}": a for k, a in e.activations.items()} for e in (one, two)]
    equal = [np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0] | arrays[1]]
    return all(equal) and repr(one) == repr(two) and one.ledger.table() == two.ledger.table() and one.dtype == two.dtype


CHOICES = {"one": {}, "all": {"target": "all"}, "start": {"start": np.ones((3, 2))}}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, object])
@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_a_sample_is_what_explaining_it_alone_gives_and_all_are_the_whole(dtype, choices):
    if dtype is object and "start" in choices:
        choices = {"start": fractions(choices["start"])}
    e = explained(dtype, **choices)
    assert len(e) == 3
    model = Explainer(MODEL.astype(dtype), rule=rules.Epsilon(0.25), keep="all", ledger=True)
    for i, one in enumerate(e):
        given = {"start": choices["start"][i : i + 1]} if "start" in choices else choices
        assert same(one, model((fractions(X) if dtype is object else X.astype(dtype))[i : i + 1], **given))
    assert same(join(list(e)), e)
    assert same(e[:], e)


def test_samples_are_chosen_as_those_of_an_array():
    e = explained()
    for which in (slice(1, None), [2, 0], np.array([True, False, True]), -1, np.int64(1), slice(None, None, -1)):
        assert np.array_equal(np.atleast_2d(e[which].relevance), np.atleast_2d(e.relevance[which]))
    with pytest.raises(IndexError, match="no sample 3 in an explanation of 3"):
        e[3]
    for wrong in ("a", 0.5, np.array([True]), [[0]]):
        with pytest.raises(errors.ParameterError, match="samples are chosen by"):
            e[wrong]


def test_a_sample_of_an_explanation_by_windows_has_no_windows_of_other_samples():
    from lrp_ref import wrappers

    model = Model.sequential([L.Flatten(), L.Dense(np.arange(4.0).reshape(4, 1))], input_shape=(1, 2, 2))
    x = np.random.default_rng(0).normal(size=(2, 1, 3, 3))
    whole = wrappers.sliding_window(Explainer(model, rule=rules.Zero()), x, stride=1, window=(2, 2))
    one = whole[1]
    assert type(one) is Explanation
    assert np.array_equal(one.relevance, whole.relevance[1:])
    assert np.array_equal(one.value, whole.value[1:])


def test_it_is_an_array_of_its_relevance():
    e = explained()
    assert np.array_equal(np.asarray(e), e.relevance)
    assert np.asarray(e, np.float32).dtype == np.float32
    assert e.values is e.relevance
    two = lrp_ref.explain(Model((Node("sum", L.Add(), ("a", "b")),), ("a", "b")), {"a": X, "b": X})
    with pytest.raises(errors.GraphError, match="several inputs is no array"):
        np.asarray(two)
    with pytest.raises(errors.ShapeError, match="do not fit each other"):
        join([e, two])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, object])
@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_what_is_saved_is_loaded(dtype, choices, tmp_path):
    if dtype is object and "start" in choices:
        choices = {"start": fractions(choices["start"])}
    e = explained(dtype, **choices)
    again = Explanation.load(e.save(tmp_path / "e.npz"))
    assert same(e, again)
    assert again.doubt is None if e.doubt is None else np.array_equal(again.doubt, e.doubt)
    assert again.save(tmp_path / "again.npz").read_bytes() == (tmp_path / "e.npz").read_bytes()
    if dtype is object:
        assert type(again.relevance.flat[0]) is Fraction


def test_names_details_and_several_inputs_are_kept(tmp_path):
    e = Explainer(RNN, ledger=True)(np.ones((2, 3, 2)), start=np.ones((2, 2)))
    again = Explanation.load(e.save(tmp_path / "rnn.npz"))
    node = next(entry.node for entry in e.ledger if entry.booking.details)
    for name, part in e.ledger[node].details.items():
        assert np.array_equal(again.ledger[node].details[name], part)
    two = lrp_ref.explain(Model((Node("sum", L.Add(), ("a", "b")),), ("a", "b")), {"a": X, "b": X}, target=0)
    again = Explanation.load(two.save(tmp_path / "two.npz"))
    assert again.inputs == ("a", "b")
    assert np.array_equal(again.relevance["b"], two.relevance["b"])


def spoiled(path, **changes):
    arrays = dict(np.load(path))
    about = json.loads(str(arrays["about"]))
    for name, value in changes.items():
        if name in about:
            about[name] = value
        elif value is None:
            arrays = {key: array for key, array in arrays.items() if not key.startswith(name)}
        else:
            arrays[name] = value
    np.savez(path, **(arrays | {"about": np.array(json.dumps(about))}))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "'lrp_ref.explanation', 1 is read"),
        ({"activation/": None}, "has no inputs"),
        ({"value": None}, "no readable .npz file: 'value"),
        ({"inputs": 3}, "no explanation|no readable"),
        ({"target": np.array([0.5])}, "not int64"),
        ({"number_type": "rational"}, "no texts"),
    ],
)
def test_what_is_no_explanation_is_refused(changes, message, tmp_path):
    path = spoiled(explained().save(tmp_path / "e.npz"), **changes)
    with pytest.raises(errors.FormatError, match=message):
        Explanation.load(path)


def test_files_that_hold_something_else_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=X)
    with pytest.raises(errors.FormatError, match="no member 'about'"):
        Explanation.load(tmp_path / "other.npz")
    with pytest.raises(errors.FormatError, match="does not exist"):
        Explanation.load(tmp_path / "none.npz")
    path = spoiled(explained(object).save(tmp_path / "e.npz"), value=np.array(["1/0", "1", "2"]))
    with pytest.raises(errors.FormatError, match="'1/0', which is no rational number"):
        Explanation.load(path)


def test_features_and_classes_have_names():
    e = explained(target="all").named(["width", "height"], ["no", "yes"])
    assert e.top(1, sample=1)[0] == ("width", e.relevance[1, 0, 0])
    assert [name for name, _ in e.top(sample=0, target=1)] == ["height", "width"]
    assert "width" in repr(e)
    assert "largest |R|" in repr(e)
    assert "yes" in [axes.get_title() for axes in e.plot().axes][1]
    assert explained().top(1)[0][0] == 1  # without names: the number of the feature
    for wrong in ({"feature_names": ["a"]}, {"class_names": ["a", "b", "c"]}):
        with pytest.raises(errors.ShapeError, match=r"names for 2 (features|classes)"):
            explained().named(**wrong)
    with pytest.raises(errors.ParameterError, match="no sample 3"):
        e.top(sample=3)


def test_names_are_stored(tmp_path):
    e = explained().named(["width", "height"], ["no", "yes"])
    again = Explanation.load(e.save(tmp_path / "e.npz"))
    assert (again.feature_names, again.class_names) == (("width", "height"), ("no", "yes"))
    assert e[0].feature_names == ("width", "height")


def test_the_ledger_says_where_relevance_stayed():
    e = explained(object)
    losses = e.ledger.losses()
    assert sum(amount for _, _, amount in losses) == pytest.approx(float(e.residual[0]))
    assert [abs(amount) for _, _, amount in losses] == sorted((abs(amount) for _, _, amount in losses), reverse=True)
    node, column, amount = losses[0]
    assert amount == float(getattr(e.ledger[node], column)[0])
    assert {column for _, column, _ in losses} <= {"bias", "stabiliser", "unassigned"}


def test_a_data_frame_has_a_row_for_each_sample_and_target():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = explained().to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.shape == (3, 2)
    frame = explained(target="all").to_pandas()
    assert list(frame.index) == [(i, t) for i in range(3) for t in range(2)]
    image = lrp_ref.explain(Model.sequential([L.Flatten(), L.Dense(np.ones((4, 1)))]), np.ones((1, 1, 2, 2)))
    assert image.to_pandas()[(0, 1, 1)].tolist() == pytest.approx([1.0])


def test_a_dataset_has_axes_with_names():
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    found = explained(target="all").to_xarray()
    assert isinstance(found, xarray.Dataset)
    assert found["relevance/input"].dims == ("sample", "target_number", "input axis 1")
    assert found.attrs["composite"] == "uniform Epsilon(epsilon=0.25, signed=True)"


@pytest.mark.parametrize("package", ["pandas", "xarray"])
def test_a_table_names_the_extra_that_it_needs(package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(errors.MissingExtraError, match=rf"pip install 'lrp_ref\[{package}\]'"):
        getattr(explained(), f"to_{package}")()
