"""The embedded networks: that they are what they are said to be, and as good."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lrp_ref
from lrp_ref import errors, layers, zoo

FOLDER = Path(zoo.__file__).parent
BUDGET = 300_000
REQUIRED = 0.985
NAMES = ["digits", "digits_bn"]
TEXT = ["sentences"]


def layers_of(name):
    return [node.layer for node in zoo.load(name).nodes]


def test_the_names_are_the_networks_that_are_shipped():
    assert list(zoo.names()) == [*NAMES, *TEXT]
    assert {f.stem for f in FOLDER.glob("*.npz")} == {*NAMES, *TEXT, "held_out"}


@pytest.mark.parametrize("name", NAMES)
def test_a_network_maps_images_in_0_1_to_ten_scores_in_float32(name):
    model = zoo.load(name)
    scores = model(zoo.digits().images)
    assert scores.shape == (10, 10)
    assert scores.dtype == np.float32
    with pytest.raises(errors.ShapeError):
        model(np.zeros((1, 1, 9, 9), np.float32))


def test_the_input_shape_and_the_domain_are_stored():
    for name in NAMES:
        model = zoo.load(name)
        assert model.input_shape == {"input": (1, 8, 8)}
        assert (model.domain["input"].low, model.domain["input"].high) == (0, 1)


def test_an_unknown_name_gets_the_nearest_one():
    for function in (zoo.load, zoo.vocabulary, zoo.classes):
        with pytest.raises(errors.UnknownNameError, match="Did you mean 'digits'"):
            function("digit")


def test_no_bias_of_digits_is_positive_and_it_pools_by_averages():
    found = layers_of("digits")
    biases = [layer.bias for layer in found if isinstance(layer, (layers.Conv, layers.Dense))]
    assert len(biases) == 4
    assert all((bias <= 0).all() and (bias < 0).any() for bias in biases)
    kinds = {type(layer) for layer in found}
    assert kinds == {layers.Conv, layers.ReLU, layers.AvgPool, layers.Flatten, layers.Dense}


def test_digits_bn_has_batch_norm_between_convolution_and_relu_and_max_pooling():
    kinds = [type(layer) for layer in layers_of("digits_bn")]
    block = [layers.Conv, layers.BatchNorm, layers.ReLU]
    assert kinds == [*block, *block, layers.MaxPool, *block, layers.MaxPool, layers.Flatten, layers.Dense]


def test_the_shipped_files_stay_under_the_budget():
    sizes = {file.name: file.stat().st_size for file in FOLDER.glob("*.npz")}
    assert 0 < sum(sizes.values()) < BUDGET, sizes


def test_the_data_set_is_attributed():
    notice = (FOLDER / "NOTICE.md").read_text(encoding="utf-8")
    for needed in ("Alpaydin", "Kaynak", "CC BY 4.0", "scikit-learn", "BSD-3-Clause"):
        assert needed in notice


def test_the_embedded_digits_are_one_of_each_class_and_cannot_be_changed():
    digits = zoo.digits()
    assert digits.images.shape == (10, 1, 8, 8)
    assert digits.images.dtype == np.float32
    assert digits.images.min() == 0
    assert digits.images.max() == 1
    assert digits.labels.tolist() == list(range(10))
    assert len(set(digits.test_part.tolist())) == 540
    for array in (digits.images, digits.labels, digits.indices, digits.test_part):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


# The scores of the predicted classes as PyTorch 2.13 computed them in float32 when the networks were trained, rounded
# to 4 decimals. 1e-4 covers the rounding (5e-5) and another order of sums (measured: 4e-7 of the largest score, 7).
PREDICTED_SCORES = {
    "digits": [4.2535, 5.0124, 4.5271, 5.2655, 4.7024, 5.2327, 6.1711, 4.6974, 3.8136, 3.9508],
    "digits_bn": [5.648, 5.1013, 4.9765, 5.6667, 6.3755, 4.6934, 5.1134, 4.4221, 3.7674, 4.1607],
}


@pytest.mark.parametrize("name", NAMES)
def test_the_embedded_digits_are_recognised_with_the_scores_of_training(name):
    digits = zoo.digits()
    scores = zoo.load(name)(digits.images)
    assert scores.argmax(axis=1).tolist() == digits.labels.tolist()
    np.testing.assert_allclose(scores.max(axis=1), PREDICTED_SCORES[name], rtol=0, atol=1e-4)


def sklearn_digits():
    """scikit-learn's digits, or a skip that says what was not tested."""
    reason = "scikit-learn is not installed: the accuracy of the embedded networks was NOT tested"
    data = pytest.importorskip("sklearn.datasets", reason=reason).load_digits()
    return (data.images[:, None] / 16).astype(np.float32), data.target


@pytest.mark.parametrize(("name", "wrong"), [("digits", 1), ("digits_bn", 0)])
def test_the_accuracy_on_the_test_part_of_the_first_split_is_the_stated_one(name, wrong):
    images, labels = sklearn_digits()
    part = zoo.digits().test_part
    mistakes = zoo.load(name)(images[part]).argmax(axis=1) != labels[part]
    assert mistakes.mean() <= 1 - REQUIRED
    # Equal, not "at most": the two largest scores are nowhere closer than 0.1, a million times the rounding.
    assert mistakes.sum() == wrong


def test_the_embedded_digits_are_the_first_of_each_class_in_the_first_split():
    images, labels = sklearn_digits()
    digits = zoo.digits()
    part = digits.test_part
    first = [part[np.flatnonzero(labels[part] == digit)[0]] for digit in range(10)]
    assert digits.indices.tolist() == first
    assert np.array_equal(digits.images, images[first])
    assert np.array_equal(digits.labels, labels[first])


def test_the_test_part_is_that_of_the_first_split():
    _, labels = sklearn_digits()
    split = pytest.importorskip("sklearn.model_selection").train_test_split
    _, test = split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    assert zoo.digits().test_part.tolist() == test.tolist()


# --- the network of sentences ---------------------------------------------------------------------------------------------


def scores_of(sentences, model, words):
    """Scores of each sentence, one at a time: lengths differ."""
    return np.stack([model(words.look_up(sentence)[None].astype(np.float32))[0] for sentence in sentences])


def test_the_network_of_sentences_is_an_embedding_an_lstm_and_a_dense_layer():
    model = zoo.load("sentences")
    assert [type(node.layer) for node in model.nodes] == [layers.Embedding, layers.LSTM, layers.Dense]
    assert model.dtype == np.float32
    assert model["embedding1"].layer.weight.shape[0] == zoo.vocabulary("sentences").rows == 78
    assert zoo.classes("sentences") == ("negative", "positive")
    assert zoo.vocabulary("digits") is None
    assert zoo.classes("digits") == ()
    assert (FOLDER / "sentences.npz").stat().st_size < 100_000


def test_the_held_out_sentences_are_known_words_of_which_some_matter():
    found = zoo.sentences()
    known = zoo.vocabulary("sentences").numbers
    assert len(found.words) == len(found.labels) == len(found.matters) == len(set(found.words)) == 200
    for words, matters in zip(found.words, found.matters, strict=True):
        assert set(words) <= set(known)
        assert len(words) == len(matters)
        assert 0 < sum(matters) < len(matters)
        assert all(not important for word, important in zip(words, matters, strict=True) if word in ("the", "was", "film"))
        assert all(important for word, important in zip(words, matters, strict=True) if word in ("brilliant", "not", "very"))


# As PyTorch 2.13 computed them in float32 when the network was trained, rounded to 4 decimals; the tolerance as above.
FIRST_SCORES = [4.2928, 4.6967, 4.7222]


def test_the_held_out_sentences_are_read_as_in_training():
    found = zoo.sentences()
    scores = scores_of(found.words, zoo.load("sentences"), zoo.vocabulary("sentences"))
    wrong = scores.argmax(axis=1) != np.array(found.labels)
    assert wrong.sum() == 1
    np.testing.assert_allclose(scores.max(axis=1)[:3], FIRST_SCORES, rtol=0, atol=1e-4)


def test_importing_reads_no_file():
    program = (
        "import sys\nopened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "import lrp_ref.zoo\nassert not [name for name in opened if name.endswith('.npz')], opened\n"
        "lrp_ref.zoo.digits()\nassert [name for name in opened if name.endswith('.npz')], 'the check sees nothing'\n"
    )
    root = str(Path(lrp_ref.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
