"""Inputs and operators as other libraries write them: words, masks, pipelines of scikit-learn, cells that are written over.

See test_relatives_files. Networks are linear behind what is tried, and relevance is that of LRP-0 in closed form.
"""

import numpy as np
import pytest

from lrp_ref import errors

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from lrp_ref.formats.onnx import load
from support.onnx_lines import check, file, numbers, session

rng = np.random.default_rng(0)
A = rng.integers(-4, 5, (3, 2)).astype(np.float32) / 4 + 0.125
TABLE = rng.integers(-4, 5, (5, 3)).astype(np.float32) / 4 + 0.125

WORDS = np.array([[1, 4, 0, 2], [3, 3, 1, 0]])
READ = {
    "looked up": ("e = Gather t x;s = ReduceSum e one keepdims=0;y = MatMul s a", {}),
    "cast before": ("i = Cast x to=7;e = Gather t i;s = ReduceSum e one keepdims=0;y = MatMul s a", {}),
    "an axis before": (
        "u = Unsqueeze x two;i = Squeeze u two;e = Gather t i;s = ReduceSum e one keepdims=0;y = MatMul s a",
        {"two": [2]},
    ),
    "one-hot by comparison": (
        "u = Unsqueeze x two;h = Equal u r;f = Cast h to=1;e = MatMul f t;s = ReduceSum e one keepdims=0;y = MatMul s a",
        {"two": [2], "r": "range"},
    ),
    "one-hot by its operator": (
        "h = OneHot x depth values axis=-1;e = MatMul h t;s = ReduceSum e one keepdims=0;y = MatMul s a",
        {"depth": np.array([5]), "values": np.array([0, 1], np.float32)},
    ),
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("kind", ["int64", "int32"])
def test_numbers_of_words_as_the_file_declares_them(name, kind):
    """A word gets the sum over its vector: row of the table times a."""
    text, stored = READ[name]
    stored = {key: np.arange(5).astype(kind) if isinstance(v, str) else np.asarray(v) for key, v in stored.items()}
    stored |= {"depth": np.array([5], kind)} if "depth" in stored else {}
    content = file(text, {"x": (kind, ("N", 4))}, t=TABLE, a=A, one=np.array([1]), **stored)
    check(content, WORDS.astype(kind), (TABLE @ A)[:, 1][WORDS], target=1)


MASK = np.array([[1, 1, 0, 1], [1, 0, 0, 0]])
MEAN = "s = ReduceSum g one keepdims=0;n = ReduceSum m one keepdims=0;d = Div s n;y = MatMul d a"
MASKED = {
    "a cast and a product": (
        "m = Cast mask to=1;u = Unsqueeze m two;g = Mul x u;s = ReduceSum g one keepdims=0;y = MatMul s a",
        False,
    ),
    "a choice": ("u = Unsqueeze mask two;b = Cast u to=9;g = Where b x z;s = ReduceSum g one keepdims=0;y = MatMul s a", False),
    "a mean": ("c = Cast mask to=1;m = Unsqueeze c two;g = Mul x m;" + MEAN, True),
    "a mean that never divides by 0": (
        "c = Cast mask to=1;m = Unsqueeze c two;g = Mul m x;"
        + MEAN.replace("Div s n", "Div s k").replace(";d =", ";k = Clip n e;d ="),
        True,
    ),
}


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("kind", ["bool", "int64"])
def test_the_mask_is_the_gate(name, kind):
    """x (N, T, F) counts where the mask does; all relevance is that of x."""
    text, mean = MASKED[name]
    stored = {"one": np.array([1]), "two": np.array([2]), "a": A}
    stored |= {"z": np.float32(0)} if "Where" in text else {}
    stored |= {"e": np.float32(1e-9)} if "Clip" in text else {}
    x = numbers(2, 4, 3)
    expected = x * A[:, 1] * MASK[:, :, None] / (MASK.sum(axis=1)[:, None, None] if mean else 1)
    content = file(text, {"x": ("float32", ("N", 4, 3)), "mask": (kind, ("N", 4))}, **stored)
    e = check(content, {"x": x, "mask": MASK.astype(kind)}, expected, target=1, at="x")
    assert not np.any(e.relevance.get("mask", 0))


SCALE, OFFSET = [0.5, 2.0, 4.0], [0.25, -1.0, 0.5]
WEIGHTS = "coefficients=" + str(A.T.ravel().tolist()).replace(" ", "")
PIPELINES = {
    "Scaler": (f"z = ml.Scaler x offset={OFFSET} scale={SCALE};y = MatMul z a", np.array(SCALE), {}),
    "Scaler of one number": ("z = ml.Scaler x offset=[0.5] scale=[2.0];y = MatMul z a", 2.0, {}),
    "LinearRegressor": (f"y = ml.LinearRegressor x {WEIGHTS} intercepts=[0.5,-1.0] targets=2", 1.0, {}),
    "Scaler and LinearRegressor": (
        f"z = ml.Scaler x offset={OFFSET} scale={SCALE};y = ml.LinearRegressor z {WEIGHTS} targets=2",
        np.array(SCALE),
        {},
    ),
    "Imputer": ("z = ml.Imputer x imputed_value_floats=[7.0,8.0,9.0] replaced_value_float=-1.0;y = MatMul z a", 1.0, {}),
    "LinearClassifier": (f"l,y = ml.LinearClassifier x {WEIGHTS} intercepts=[0.5,-1.0] classlabels_ints=[0,1]", 1.0, {}),
    "softmax": (
        f"l,y = ml.LinearClassifier x {WEIGHTS} intercepts=[0.5,-1.0] classlabels_ints=[3,5] post_transform='SOFTMAX'",
        1.0,
        {"head": "logit"},
    ),
    "logistic": (
        f"l,y = ml.LinearClassifier x {WEIGHTS} intercepts=[0.5,-1.0] classlabels_ints=[3,5] post_transform='LOGISTIC'",
        1.0,
        {"head": "logit"},
    ),
}


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("labels", [False, True], ids=["scores alone", "labels beside them"])
def test_pipelines_of_scikit_learn(name, labels):
    text, factor, choices = PIPELINES[name]
    text = text.replace(", ", ",")
    if labels and not text.rpartition(";")[2].startswith("l,y"):
        text += ";l = ArgMax y axis=1"
    x = numbers(2, 3)
    content = file(text, {"x": ("float32", ("N", 3))}, ("l", "y") if labels else ("y",), **({"a": A} if " a" in text else {}))
    check(content, x, x * factor * A[:, 1], target=1, **choices)


def test_labels_that_are_words():
    text = f"l,y = ml.LinearClassifier x {WEIGHTS} intercepts=[0.5,-1.0] classlabels_ints=[0,1];"
    text += "w = ml.LabelEncoder l keys_int64s=[0,1] values_strings=['no','yes']"
    x = numbers(2, 3)
    check(file(text, {"x": ("float32", ("N", 3))}, ("w", "y")), x, x * A[:, 1], target=1)


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_a_normalizer_predicts(norm):
    x = numbers(2, 3)
    content = file(f"z = ml.Normalizer x norm='{norm}';y = MatMul z a", {"x": ("float32", ("N", 3))}, a=A)
    (y,) = session(content).run(None, {"x": x})
    np.testing.assert_allclose(load(content)(x), y, rtol=1e-5)


def test_cells_that_are_written_over_get_nothing():
    x = numbers(1, 3)
    text = "s = ScatterElements x i u axis=1;y = MatMul s a"
    content = file(text, {"x": ("float32", (1, 3))}, i=np.array([[1]]), u=np.array([[5.0]], np.float32), a=A)
    check(content, x, x * A[:, 1] * [1, 0, 1], target=1)


def test_trees_are_refused_as_trees():
    one = "n_targets=1 nodes_featureids=[0,0,0] nodes_falsenodeids=[2,0,0] nodes_truenodeids=[1,0,0] nodes_nodeids=[0,1,2]"
    one += " nodes_modes=['BRANCH_LEQ','LEAF','LEAF'] nodes_treeids=[0,0,0] nodes_values=[0.5,0.0,0.0] target_ids=[0,0]"
    text = f"y = ml.TreeEnsembleRegressor x {one} target_nodeids=[1,2] target_treeids=[0,0] target_weights=[1.0,2.0]"
    with pytest.raises(errors.FormatError, match=r"(?i)\btree"):
        load(file(text, {"x": ("float32", ("N", 3))}))
