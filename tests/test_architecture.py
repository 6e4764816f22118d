"""`docs/architecture.md` has one line for each folder of the checkout, and none for a folder that is not there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
MADE = re.compile(r"__pycache__|_build|\..*|.*\.egg-info")  # by tools, beside what is in the checkout

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="no checkout here: its layout is NOT tested")


def folders(root: Path) -> Iterator[str]:
    """Those below `root` that hold a file, however deep, as the page writes them."""
    below = [name for path in sorted(root.iterdir()) if path.is_dir() and not MADE.fullmatch(path.name) for name in folders(path)]
    if below or any(path.is_file() for path in root.iterdir()):
        yield f"{root.relative_to(ROOT).as_posix()}/"
        yield from below


def test_every_folder_has_its_line_and_every_line_its_folder():
    lines = re.findall(r"^\| `([\w/]+/)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = [name for name, _ in lines]
    tops = sorted({name.partition("/")[0] for name in named})
    assert tops == ["_ext", "benchmarks", "docs", "examples", "lrp_ref", "tests"]
    assert named == [
        name for top in ("lrp_ref", "_ext", "tests", "docs", "benchmarks", "examples") for name in folders(ROOT / top)
    ]
