"""What may stand for a network and for its input, in blocks or at once, and what a notebook shows of an error."""

import subprocess
import sys

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, errors, explain, rules, zoo
from lrp_ref import layers as L

MODEL = Model.sequential([L.Dense([[1.0, -1.0], [2.0, 1.0]]), L.ReLU(), L.Dense([[1.0, 2.0], [1.0, -1.0]], [0.5, 0.0])])
X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25], [-1.0, 4.0], [2.0, 2.0]])


def fitted():
    linear_model = pytest.importorskip("sklearn.linear_model")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.random.default_rng(0).normal(size=(40, 3))
    return make_pipeline(StandardScaler(), linear_model.LogisticRegression()).fit(x, (x[:, 0] > 0).astype(int)), x


def test_a_pipeline_is_read_on_the_way():
    pipeline, x = fitted()
    e = explain(pipeline, x[:4], target=0, rule=rules.Zero())
    assert np.allclose(e.value, pipeline.decision_function(x[:4]))
    assert e.class_names == ("1",)  # the score of two classes is that of the second
    with pytest.raises(errors.ParameterError, match=r"found Pipeline: lrp_ref.formats.sklearn.load\(estimator\) makes one"):
        Explainer(pipeline)


class Frame:
    """What of a `pandas.DataFrame` is asked for."""

    def __init__(self, columns, values):
        self.columns, self._values, self.dtypes = columns, values, [values.dtype] * len(columns)

    def to_numpy(self, dtype=None):
        return np.asarray(self._values, dtype)


Frame.__module__ = "pandas.core.frame"


def test_a_table_names_the_features_and_its_columns_are_those_of_the_estimator():
    pipeline, x = fitted()
    table = Frame(["width", "height", "age"], x[:2])
    e = explain(pipeline, table)
    assert e.feature_names == ("width", "height", "age")
    names = [text.get_text() for text in e.plot().axes[-1].get_xticklabels()]
    assert names == ["width", "height", "age"]
    assert Explainer(MODEL)(Frame(["a", "b"], X)).feature_names == ("a", "b")
    wrong = Frame(["a", "b"], X)
    wrong.dtypes = [np.dtype(float), np.dtype(object)]
    with pytest.raises(errors.NumberTypeError, match="columns of the table hold no numbers: b"):
        explain(MODEL, wrong)


def test_pandas_tables():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    linear_model = pytest.importorskip("sklearn.linear_model")
    table = pandas.DataFrame({"a": [1.0, 2.0, 4.0], "b": [1, 0, 5], "c": [True, False, True]})
    estimator = linear_model.LinearRegression().fit(table, [1.0, 2.0, 3.0])
    e = explain(estimator, table, target=0)
    assert e.feature_names == ("a", "b", "c")
    assert np.allclose(e.value, estimator.predict(table))
    assert e.to_pandas().columns.tolist() == ["a", "b", "c"]
    with pytest.raises(errors.ParameterError, match=r"in another order: 'b' where 'a' was; table\[list"):
        explain(estimator, table[["b", "a", "c"]])
    assert explain(estimator, table.to_numpy(float)).feature_names == ("a", "b", "c")


def test_modules_and_tensors_of_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("onnx")
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    x = torch.tensor(X, dtype=torch.float32, requires_grad=True)
    e = explain(module, x, target=1)
    assert np.allclose(e.prediction, module(x).detach().numpy(), atol=1e-6)
    assert np.array_equal(explain(MODEL, x).relevance, explain(MODEL, X.astype(np.float32)).relevance)
    half = explain(MODEL, x.to(torch.bfloat16))
    assert np.array_equal(half.activations["input"], x.to(torch.bfloat16).float().detach().numpy())
    with pytest.raises(errors.ParameterError, match=r"formats.torch.load\(module, example_input\)"):
        Explainer(module)


def test_a_path_is_loaded(tmp_path):
    path = lrp_ref.save(MODEL, tmp_path / "m.npz")
    assert np.array_equal(explain(path, X).relevance, explain(MODEL, X).relevance)
    assert np.array_equal(explain(str(path), X).relevance, explain(MODEL, X).relevance)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("net.pt", r"lrp_ref\.formats\.torch\.load\(module, example_input\)"),
        ("net.pth", "weights_only=True"),
        ("net.h5", r"format=\"onnx\""),
        ("net.keras", r"lrp_ref\.load\(\"network\.onnx\"\)"),
        ("net.joblib", r"lrp_ref\.formats\.sklearn\.load\(estimator\)"),
        ("net.txt", "known: .npz, .onnx"),
    ],
)
def test_files_that_are_not_read_say_how_they_are_exported(name, way):
    with pytest.raises(errors.FormatError, match=way):
        explain(name, X)


def test_what_is_no_network_is_refused():
    with pytest.raises(errors.ParameterError, match=r"load reads a file, found Model: lrp_ref.formats.sklearn.load"):
        lrp_ref.load(MODEL)
    with pytest.raises(errors.ParameterError, match="found int"):
        explain(3, X)
    with pytest.raises(errors.ParameterError, match=r"found str: lrp_ref.load\('a.npz'\) makes one"):
        Explainer("a.npz")


def test_images_become_inputs_by_the_domain_of_the_model():
    image_module = pytest.importorskip("PIL.Image")
    digits, x = zoo.load("digits"), zoo.digits().images[3:5]
    images = [image_module.fromarray(np.rint(255 * one[0]).astype(np.uint8)) for one in x]
    e = explain(digits, images)
    assert np.allclose(e.activations["input"], np.rint(255 * x) / 255, atol=1e-6)
    assert len(explain(digits, images[0])) == 1
    with pytest.raises(errors.ParameterError, match="nothing says what the model wants of an image"):
        explain(Model.sequential([L.Flatten(), L.Dense(np.ones((64, 1)))], input_shape=(1, 8, 8)), images[0])


def test_looking_imports_neither_torch_nor_sklearn():
    program = (
        "import sys, numpy, lrp_ref; from lrp_ref import layers as L\n"
        "lrp_ref.explain(lrp_ref.Model.sequential([L.Dense(numpy.ones((2, 1)))]), [[1, 2]])\n"
        "print([n for n in ('torch', 'sklearn', 'pandas', 'PIL', 'matplotlib', 'lrp_ref.preprocess', 'lrp_ref.formats.torch')"
        " if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- blocks -----------------------------------------------------------------------------------------------------------

QUESTIONS = {
    "predicted": {},
    "one": {"target": 1},
    "each": {"target": [0, 1, 1, 0, 1]},
    "all": {"target": "all"},
    "several": {"targets": [1, 0]},
    "several each": {"targets": [[0, 1], [1, 0], [1, 0], [0, 1], [0, 1]]},
    "contrast": {"target": [0, 1, 1, 0, 1], "contrast": [1, 0, 0, 1, 0]},
    "start": {"start": np.arange(10.0).reshape(5, 2)},
    "filter": {"filter": {"relu1": [0]}},
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_blocks_change_no_bit(question, size):
    """CONV-BATCH-BITS."""
    explainer = Explainer(MODEL, ledger=True, keep="all")
    whole, parts = explainer(X, **question), explainer.explain(X, batch_size=size, **question)
    assert repr(parts) == repr(whole)
    assert all(np.array_equal(parts.at(name), whole.at(name)) for name in whole.relevances)
    assert parts.ledger.to_json() == whole.ledger.to_json()


def test_indices_of_outputs_with_axes_are_cut_as_they_are_meant():
    model = Model.sequential([L.Conv(np.random.default_rng(0).normal(size=(2, 1, 2, 2)))])
    x = np.random.default_rng(1).normal(size=(3, 1, 3, 3))
    explainer = Explainer(model, rule=rules.Zero())
    for question in ({"target": (1, 0, 1)}, {"target": [(1, 0, 1), (0, 1, 1), (0, 0, 0)]}, {"targets": [(1, 0, 1), (0, 0, 0)]}):
        assert np.array_equal(explainer(x, batch_size=2, **question).relevance, explainer(x, **question).relevance)
    with pytest.raises(errors.TargetError, match="out of range"):
        explainer(x, target=99, batch_size=2)


def test_progress_is_told(capsys):
    told = []
    explain(MODEL, X, batch_size=2, progress=lambda done, count: told.append((done, count)))
    assert told == [(2, 5), (4, 5), (5, 5)]
    explain(MODEL, X, batch_size=2, progress=True)
    assert "5 of 5 explained" in capsys.readouterr().err
    with pytest.raises(errors.ParameterError, match="progress is True or a function"):
        explain(MODEL, X, progress=3)
    with pytest.raises(errors.ParameterError, match="batch_size must be at least 1"):
        explain(MODEL, X, batch_size=0)
    assert len(explain(MODEL, X[:0], batch_size=2)) == 0


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_notebook_shows_the_message_first_and_none_of_our_lines():
    with pytest.raises(errors.TargetError) as caught:
        explain(MODEL, X, target=7)
    lines = caught.value._render_traceback_()
    assert lines[0].startswith("TargetError: target 7 is out of range")
    assert any("test_sources.py" in line for line in lines)
    assert not any("explainer.py" in line for line in lines)
