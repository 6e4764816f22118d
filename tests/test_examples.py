"""The examples that need no PyTorch: the networks and statistics of the toy arithmetic, and the grammar of the sentences."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from lrp_ref import zoo

FOLDER = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def examples():
    """A function that imports an example."""
    if not FOLDER.is_dir():
        pytest.skip("the examples are not in this copy: they were NOT tested")
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def toy(examples):
    pytest.importorskip("scipy", reason="SciPy is not installed: the toy arithmetic was NOT tested")
    return examples("toy_arithmetic")


def adder(toy):
    """The hand-wired adder: everything but w = 0.01 from the second column to the cell input is 0, and the gates are open."""
    given = np.zeros((2, 4))
    given[1, 2] = 0.01
    return toy.Weights(given, np.zeros(4), np.array([20.0, 20.0, 0.0, 20.0]), np.array([100.0]))


def test_the_sequences_are_what_the_protocol_says(toy):
    for task, sign in toy.TASKS.items():
        (first, second) = toy.part(task, "validation")
        assert [b.inputs.shape for b in (first, second)] == [(1250, 11, 2), (1250, 12, 2)]
        rows = np.arange(1250)[:, None]
        assert (np.count_nonzero(first.inputs, axis=2) == 1).all(), "each step has one number"
        assert (np.count_nonzero(first.inputs[..., 1], axis=1) == 2).all(), "two of them are marked"
        assert np.array_equal(first.inputs[rows, first.places, 1], first.numbers)
        assert (first.places[:, 0] < first.places[:, 1]).all()
        assert np.array_equal(first.targets, first.numbers[:, 0] + sign * first.numbers[:, 1])
        sizes = np.abs(first.numbers)
        assert 0.5 <= sizes.min() < 0.51
        assert 0.99 < sizes.max() <= 1
        assert (first.numbers.min() < 0) == (task == "addition")


def test_the_gradient_is_that_of_the_loss(toy):
    random = np.random.default_rng(0)
    batches = [toy.batch("addition", 5, 4, random), toy.batch("addition", 3, 6, random)]
    at = toy.start(random)
    steps = 1e-6 * np.eye(17)
    measured = [(toy.loss(at + step, batches)[0] - toy.loss(at - step, batches)[0]) / 2e-6 for step in steps]
    # Central differences err by 1e-10 of rounding (1e-16 / 1e-6) and 1e-12 of curvature.
    np.testing.assert_allclose(toy.loss(at, batches)[1], measured, rtol=1e-6, atol=1e-8)


def test_the_hand_wired_adder_gives_the_published_relevance(toy):
    x = np.zeros((1, 5, 2))
    x[0, :, 0] = 0.7, 0, -0.8, 0, 0.5
    x[0, [1, 3], 1] = 0.6, 0.9
    predictions, _ = toy.forward(adder(toy), x)
    assert predictions[0] == pytest.approx(1.499856, abs=5e-7)
    found = dict(toy.relevances(adder(toy), x))
    expected = {
        "lstm_all": (0.599948, 0.899908),
        "gradient × input": (0.599843, 0.899725),
        "occlusion": (0.599905, 0.899870),
        "lstm_half": (0.018748, 0.112489),
    }
    for name, pair in expected.items():
        assert found[name][0, [0, 2, 4]] == pytest.approx(0, abs=1e-12)
        assert found[name][0, [1, 3]] == pytest.approx(pair, abs=5e-7)


def test_the_statistics_know_a_perfect_explanation(toy):
    """LRP-all of the adder is proportional to both numbers and zero elsewhere; in subtraction the sign of b is the other one."""
    batches = [toy.batch("addition", 200, 6, np.random.default_rng(1))]
    assert toy.statistics(adder(toy), batches)["lstm_all"] == pytest.approx((100, 100, 100), abs=0.01)
    rows = np.array([[0.5, 0.7, 1.0, -1.4, 1.0], [1.0, 0.9, 2.0, -1.8, 0.5]])
    assert toy.of_points(rows) == pytest.approx((100, -100, 75))


def test_what_misses_a_bound_is_reported(toy):
    perfect = dict.fromkeys(toy.METHODS, (100.0, 100.0, 100.0)) | {"": (1e-5, 0.0, 0.0)}
    lines, missed = toy.table("addition", [perfect] * 2)
    assert len(lines) == 2 + len(toy.METHODS)
    assert missed[0] == "addition, lstm_prop, ρ_a: 100.000 is not in -25 to 25"
    assert "Missed of the bounds" in toy.report("addition", [perfect], 3)
    good = {name: tuple(np.mean(b) if b else 0.0 for b in bounds) for name, bounds in toy.ACCEPTED["addition"].items()}
    assert "All bounds are met." in toy.report("addition", [good | {"": (1e-5, 0.0, 0.0)}], 3)


# --- the grammar ----------------------------------------------------------------------------------------------------------


def value_of(words, grammar):
    """What a sentence says, read off its words: degree and negation belong to the next sentiment word."""
    values = grammar.ADJECTIVES | grammar.VERBS | grammar.NOUNS
    total, factor = 0.0, 1.0
    for word in words:
        factor *= -1 if word in ("not", "never", "no") else grammar.DEGREES.get(word, 1.0)
        if word in values:
            total, factor = total + factor * values[word], 1.0
    return total


def test_the_value_of_a_sentence_is_what_its_words_say(examples):
    grammar = examples("sentence_grammar")
    found = grammar.different(500, seed=3, most=4, zero=True)
    assert len({one.words for one in found}) == 500
    said = {*grammar.ADJECTIVES, *grammar.VERBS, *grammar.NOUNS, *grammar.DEGREES, "not", "never", "no"}
    for one in found:
        assert one.value == pytest.approx(value_of(one.words, grammar))
        assert list(one.matters) == [word in said for word in one.words]
        assert all(number == -1 for number, word in zip(one.clause, one.words, strict=True) if word in ("and", "while", ","))
        assert max(one.clause) == len(one.values) - 1
    assert {*grammar.vocabulary()} >= {word for one in found for word in one.words}
    assert 0 not in {one.value for one in grammar.different(200, seed=3)}


def test_the_sentences_of_the_zoo_are_of_this_grammar(examples):
    grammar = examples("sentence_grammar")
    held_out = zoo.sentences()
    assert tuple(grammar.CLASSES) == zoo.classes("sentences")
    assert list(zoo.vocabulary("sentences").numbers) == grammar.vocabulary()
    for words, label in zip(held_out.words, held_out.labels, strict=True):
        assert (value_of(words, grammar) > 0) == bool(label)
