"""How the tests of the command line run it: in this process, or in a fresh one."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

import lrp_ref
from lrp_ref.cli.app import commands

ROOT = Path(lrp_ref.__file__).parent.parent
CALL = "import sys; sys.argv[0] = 'lrp-ref'; from lrp_ref.cli import main; main()"


@dataclass
class Result:
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int

    @property
    def document(self):
        """The standard output as JSON."""
        return json.loads(self.out)


def run(*arguments, code=0):
    """A command in this process; an exception that is no exit fails the test with its traceback."""
    try:
        runner = CliRunner(mix_stderr=False)  # click before 8.2
    except TypeError:
        runner = CliRunner()
    done = runner.invoke(commands, [str(a) for a in arguments], prog_name="lrp-ref")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, f"exit code {done.exit_code}: {done.stdout}{done.stderr}"
    return Result(done.stdout, done.stderr, done.exit_code)


def fresh(*arguments, before="", cwd=None, **environment):
    """A command in a fresh interpreter, its output in pipes; `before` is run first."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONUTF8", "PYTHONIOENCODING")}
    env |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"} | environment
    done = subprocess.run(
        [sys.executable, "-c", f"{before}\n{CALL}", *map(str, arguments)],
        cwd=cwd,
        env=env,
        capture_output=True,
        timeout=120,
        check=False,
    )
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    return Result(done.stdout.decode(encoding), done.stderr.decode(encoding), done.returncode)
