"""Which preprocessing a model's images get: what is asked for, what lies beside the file, what is typed, the domain."""

import numpy as np
import pytest
from PIL import Image

import lrp_ref
from lrp_ref import Model, preprocess
from lrp_ref import layers as L
from lrp_ref.errors import FormatError, GraphError, ParameterError, ShapeError, UnknownNameError
from lrp_ref.network.domain import Domain
from lrp_ref.preprocess import PRESETS, Preprocessing, Stretched, resolve


def net(**options):
    """One weight for each of 3 × 2 × 2 pixels."""
    return Model.sequential([L.Flatten(), L.Dense(np.ones((12, 2)))], input_shape=(3, 2, 2), **options)


def beside(tmp_path, text='{"preset": "caffe"}'):
    (tmp_path / "net.preprocess.json").write_text(text, encoding="utf-8")
    return tmp_path / "net.npz"


def test_what_is_asked_for_comes_before_the_file_and_the_file_before_what_is_typed(tmp_path):
    file, none = beside(tmp_path), tmp_path / "other.npz"
    assert (resolve(net(), "unit", file=file).stated, resolve(net(), "unit", file=file).source) == (PRESETS["unit"], "unit")
    assert resolve(net(), file=file).stated == PRESETS["caffe"]
    assert resolve(net(), file=file).source == str(tmp_path / "net.preprocess.json")
    assert resolve(net(), PRESETS["imagenet"], file=file).stated == PRESETS["imagenet"]
    assert resolve(net(), str(tmp_path / "net.preprocess.json"), file=none).stated == PRESETS["caffe"]
    typed = resolve(net(), file=none, parameters={"order": "BGR"})
    assert (typed.stated, typed.source) == (Preprocessing(order="BGR"), "none")
    nothing = resolve(net(), file=none)
    assert (nothing.stated, nothing.source) == (None, "the model's domain")
    assert resolve(net()).stated is None


def test_parameters_replace_those_of_the_record(tmp_path):
    found = resolve(net(), file=beside(tmp_path), parameters={"order": "RGB", "mean": (1.0,)})
    assert found.stated == PRESETS["caffe"].replace(order="RGB", mean=(1.0,))


def test_the_domain_of_the_model_follows_and_one_that_is_given_comes_before_it():
    found = resolve(net(), "unit")
    assert (float(found.model.domain["input"].low), float(found.model.domain["input"].high)) == (0, 1)
    given = resolve(net(), "unit", domain=(-1, 3))
    assert (float(given.model.domain["input"].low), float(given.model.domain["input"].high)) == (-1, 3)
    assert given.preprocessing == found.preprocessing  # pixels are what they were
    untouched = net(domain=(0, 8))
    assert resolve(untouched).model is untouched


def test_the_preprocessing_has_the_sizes_of_the_model():
    found = resolve(net(), "imagenet")
    assert found.preprocessing == preprocess.fitted("imagenet", net())
    assert found.preprocessing.size == (2, 2)
    assert found.description == preprocess.described(found.preprocessing)


def test_where_nothing_is_stated_pixels_are_stretched_to_the_domain():
    white = Image.new("RGB", (4, 4), "white")
    for domain, given, high in ((None, None, 1), ((-2, 6), None, 6), ((-2, 6), (0, 5), 5)):
        found = resolve(net() if domain is None else net(domain=domain), domain=given)
        assert isinstance(found.preprocessing, Stretched)
        assert found.preprocessing(white).tolist() == np.full((3, 2, 2), high).tolist()
        assert found.guessed == (domain is None)
        assert found.description is None
    assert not resolve(net(), domain=(0, 5)).guessed
    assert not resolve(net(), "none").guessed


def test_a_model_that_takes_no_images_says_so_where_there_is_one():
    vectors = Model.sequential([L.Dense(np.ones((3, 2)))], input_shape=(3,))
    found = resolve(vectors)
    assert isinstance(found.fitted, ShapeError)
    for _ in range(2):
        with pytest.raises(ShapeError, match="samples of shape"):
            _ = found.preprocessing
    with pytest.raises(ShapeError, match="samples of shape"):
        resolve(vectors, "unit")
    two = Model((lrp_ref.Node("sum", L.Add(), ("a", "b")),), inputs=("a", "b"))
    assert isinstance(resolve(two, domain=(0, 1)).fitted, GraphError)
    bounds = resolve(two, domain=Domain(0, 1)).model.domain
    assert {name: (float(b.low), float(b.high)) for name, b in bounds.items()} == {"a": (0, 1), "b": (0, 1)}


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match=r"unknown preprocessing 'imgnet'.*A file's name ends in \.json\."):
        resolve(net(), "imgnet")
    with pytest.raises(FormatError, match="cannot be read"):
        resolve(net(), "missing.json")
    with pytest.raises(FormatError, match="no preprocessing"):
        resolve(net(), file=beside(tmp_path, "[]"))
    with pytest.raises(ParameterError, match="must be positive"):
        resolve(net(), "unit", parameters={"scale": -1.0})
    with pytest.raises(ShapeError, match="makes images of 5 × 5"):
        resolve(net(), "unit", parameters={"size": 5})
