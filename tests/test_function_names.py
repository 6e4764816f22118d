"""A function's name says what it does wherever it stands: no top-level name is defined in more than two files."""

import ast
from collections import defaultdict
from pathlib import Path

import lrp_ref

PACKAGE = Path(lrp_ref.__file__).parent
#: Names of a protocol: what every backend (`step_for`, and its passes over windows) or every format must define. At most five.
PROTOCOLS = {"load", "step_for", "to_ties", "to_winners", "winners"}
MOST = 2


def definitions():
    """Function names and the files that define them; `__getattr__` and its like belong to the language."""
    files = defaultdict(set)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("__"):
                files[node.name].add(path.relative_to(PACKAGE).as_posix())
    return files


def test_no_name_is_defined_in_more_than_two_files():
    files = definitions()
    assert len(files) > 1000  # that there was something to look at
    crowded = {name: sorted(where) for name, where in files.items() if len(where) > MOST}
    assert {name: where for name, where in crowded.items() if name not in PROTOCOLS} == {}
    assert set(crowded) == PROTOCOLS
    assert len(PROTOCOLS) <= 5
