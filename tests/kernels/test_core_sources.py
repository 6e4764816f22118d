"""The sources of the C core: names that lead to one file, lines that fit, files that an editor can read alone."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for path in (ROOT / "_ext").rglob("*.*") if path.suffix in {".c", ".h", ".inc", ".pyx", ".pxi"})

pytestmark = pytest.mark.skipif(not SOURCES, reason="no checkout here: the core's sources are NOT tested")


def test_a_name_leads_to_one_file():
    """Whatever its suffix: a stack trace, a tab or grep shows the name alone."""
    stems = Counter(path.stem for path in [*SOURCES, *(ROOT / "tests" / "native").glob("*.c")])
    assert [stem for stem, files in stems.items() if files > 1] == []


def test_lines_fit():
    found = {
        f"{path.relative_to(ROOT)}:{n}"
        for path in [*SOURCES, *(ROOT / "tests" / "native").iterdir()]
        for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 120
    }
    assert found == set()


def test_every_body_is_part_of_the_template_and_can_be_read_alone():
    """kernels.inc includes each body once, and each includes one of those before it where T is not defined."""
    bodies = re.findall(r'^#include "([\w/]+\.inc)"', (ROOT / "_ext" / "kernels.inc").read_text(encoding="utf-8"), re.MULTILINE)
    files = {path.relative_to(ROOT / "_ext").as_posix() for path in SOURCES if path.suffix == ".inc"}
    assert sorted(bodies) == sorted(files - {"kernels.inc", "types.inc"})
    for place, body in enumerate(bodies):
        text = (ROOT / "_ext" / body).read_text(encoding="utf-8")
        (before,) = re.findall(r'^#ifndef T\n#include "([\w/.]+)"\n#endif$', text, re.MULTILINE)
        assert before in ["editor.h", *bodies[:place]], body


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler here: whether the core's files can be read alone is NOT tested")
def test_an_editor_can_read_each_file():
    subprocess.run(["sh", str(ROOT / "tests" / "native" / "parse.sh")], check=True, timeout=300)
