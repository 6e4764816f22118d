"""A process of its own that starts commands by fork, and kills them at random moments: `python killer.py` with a plan on stdin.

Nothing of the library runs in this process itself, so that every fork finds it as it was after the imports.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path


def start(arguments, cwd):
    """A command in a child process, in the folder `cwd`, its output in a file of that folder."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        os.chdir(cwd)
        said = os.open(f"said-{os.getpid()}.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1), os.dup2(said, 2)
        from lrp_ref.cli.app import commands

        commands.main(list(arguments), prog_name="lrp-ref")
    except SystemExit as done:
        code = done.code or 0
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def ended(pid, cwd):
    """The exit code of a child, and what it said."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = Path(cwd) / f"said-{pid}.txt"
    text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
    said.unlink(missing_ok=True)
    return code, text


def killed(arguments, cwd, seconds):
    """Whether the command was still running when it was killed."""
    pid = start(arguments, cwd)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return ended(pid, cwd)[0] == -signal.SIGKILL


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes().hex() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def begun(journal, target):
    """Whether the run for this target has begun its journal: before that there is nothing to go on with."""
    return json.loads(journal.read_text().splitlines()[0])["target"] == target


def kills(plan, draw):
    """A run of other targets over outputs that are there, killed again and again; returns what differs from undisturbed ones."""
    command = ["explain", "zoo:digits", "in", "--out", f"o/heat{plan['suffix']}", "--threads", "1"]
    forced, longest = [*command, "--target", "3", "--force"], 0.0
    wrong, counted = [], 0
    for trial in range(-1, plan["trials"]):
        folder = Path(plan["folder"]) / f"trial{trial}"
        folder.mkdir()
        (folder / "in").symlink_to(plan["inputs"])
        assert ended(start(command, folder), folder)[0] == 0
        for _ in range(plan["kills"] if trial >= 0 else 0):
            again = forced[:-1] if begun(folder / "o" / "heat.run.jsonl", "3") else forced
            counted += killed(again, folder, draw.uniform(0, longest))
        last = forced[:-1] if begun(folder / "o" / "heat.run.jsonl", "3") else forced
        since = time.perf_counter()
        code, said = ended(start(last, folder), folder)
        longest = longest or time.perf_counter() - since
        found = content(folder / "o")
        if trial < 0:
            undisturbed = found
        wrong += [f"trial {trial}: exit code {code}: {said}"] * (code != 0)
        wrong += [f"trial {trial}: {name}" for name in {*found, *undisturbed} if found.get(name) != undisturbed.get(name)]
    return {"wrong": wrong, "killed": counted, "files": len(undisturbed)}


def crowd(plan, draw):
    """Several runs of one command at once; returns their exit codes and what lies there then."""
    folder = Path(plan["folder"])
    pids = [start(arguments, folder) for arguments in plan["commands"]]
    ends = [ended(pid, folder) for pid in pids]
    return {"codes": [code for code, _ in ends], "said": [said for _, said in ends], "names": sorted(content(folder / "o"))}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    import lrp_ref.cli.app  # before any fork: a child begins at once

    lrp_ref.zoo.digits()
    plan = json.loads(sys.stdin.read())
    json.dump({"kills": kills, "crowd": crowd}[plan["what"]](plan, random.Random(plan["seed"])), sys.stdout)
