"""The real network that the project is tested on, where it is there: LRP_REF_MODELS names a folder with squeezenet1_0.onnx."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("sklearn")
pytest.importorskip("PIL")

FOLDER = Path(os.environ.get("LRP_REF_MODELS", "."))
SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "photographs.py"


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
