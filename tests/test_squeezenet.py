"""The real network that the project is tested on, where it is there: LRP_REF_MODELS names a folder with squeezenet1_0.onnx."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lrp_ref

pytest.importorskip("onnx")
pytest.importorskip("sklearn")
pytest.importorskip("PIL")

FOLDER = Path(os.environ.get("LRP_REF_MODELS", "."))
SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "photographs.py"


@pytest.mark.shared
@pytest.mark.skipif(not (FOLDER / "squeezenet1_0.onnx").exists(), reason="squeezenet1_0.onnx is not there")
@pytest.mark.parametrize(("backend", "precision"), [(b, p) for b in lrp_ref.BACKENDS for p in ("float32", "float64")])
def test_between_white_bars_the_first_of_equal_windows_wins(backend, precision):
    """CONV-MAX-TIES: a photograph on a white page. Behind the first layer, most windows of its maximum see white alone."""
    from sklearn.datasets import load_sample_image

    model = lrp_ref.load(FOLDER / "squeezenet1_0.onnx")
    x = np.ones((1, 3, 227, 227), np.float32) * np.float32(2.25)
    x[:, :, 60:160, 40:190] = load_sample_image("china.jpg")[100:200, 100:250].transpose(2, 0, 1)[None] / 64 - 2
    relu = next(node.name for node in model.nodes if type(node.layer).__name__ == "ReLU")
    explained = lrp_ref.Explainer(model, "epsilon_plus", backend=backend, precision=precision, keep=(relu,))(x, target=497)
    r = np.asarray(explained.at(relu))[0]
    white = np.ones(r.shape[1:], bool)
    white[24:84, 14:100] = False  # what may see the photograph, or share a window of the maximum with what does
    first = np.zeros_like(white)
    first[::2, ::2] = True
    assert (r[:, white & first] != 0).any()
    assert not r[:, white & ~first].any()


@pytest.mark.shared
@pytest.mark.skipif(not (FOLDER / "squeezenet1_0.onnx").exists(), reason="squeezenet1_0.onnx is not there")
@pytest.mark.skipif(not SCRIPT.exists(), reason="the benchmarks are not in this copy")
def test_photographs_have_their_class_a_closed_ledger_and_relevance_in_the_box_drawn_by_hand():
    composites = ["epsilon_plus", "epsilon_gamma_box", "deep_taylor"]
    options = [FOLDER / "squeezenet1_0.onnx", "--labels", FOLDER / "imagenet_labels.txt", "--composites", *composites]
    done = subprocess.run([sys.executable, SCRIPT, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" hit ") >= 2 * len(composites)  # two of the photographs need scikit-image
    assert "MISS" not in done.stdout
