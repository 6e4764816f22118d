"""The hook that checks a commit's first line takes what CONTRIBUTING.md asks for, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

HOOK = Path(__file__).parent.parent / ".ci" / "commit_subject"
pytestmark = pytest.mark.skipif(not HOOK.exists(), reason="the hook lies in a checkout alone")


def run(message, folder):
    path = folder / "COMMIT_EDITMSG"
    path.write_text(message, encoding="utf-8")
    return subprocess.run([sys.executable, HOOK, path], check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    "message",
    [
        "rules: Name the bounds of ZBox\n",
        "formats/onnx: Read Expm1\n\nWritten by tf2onnx; 3 of 36 files have it; before: refused.\n",
        "# a comment of git\nrun: Take shapes from the plan\n\n# Changes to be committed:\n",
        "a: " + "Bend " + "x" * 64 + "\n",
        "Merge branch 'main' into rules\n",
        'Revert "rules: Name the bounds of ZBox"\n\nThis reverts commit 0123456.\n',
        "fixup! rules: Name the bounds of ZBox\n",
    ],
)
def test_what_contributing_asks_for_passes(message, tmp_path):
    outcome = run(message, tmp_path)
    assert (outcome.returncode, outcome.stderr) == (0, "")


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("Name the bounds of ZBox\n", "area: Verb object"),
        ("rules: name the bounds\n", "area: Verb object"),
        ("rules:Name the bounds\n", "area: Verb object"),
        ("Rules: Name the bounds\n", "area: Verb object"),
        ("rules: Name\n", "area: Verb object"),
        ("", "area: Verb object"),
        ("# a comment alone\n", "area: Verb object"),
        ("a: " + "Bend " + "x" * 65 + "\n", "73 characters"),
        ("rules: Name the bounds.\n", "full stop"),
        ("rules: Name the bounds; test them\n", "one thought"),
        ("rules: Name the bounds\nbecause they had none\n", "blank line"),
    ],
)
def test_anything_else_is_refused_and_the_hook_says_why(message, complaint, tmp_path):
    outcome = run(message, tmp_path)
    assert outcome.returncode == 1
    assert complaint in outcome.stderr
