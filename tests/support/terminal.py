"""Commands on a terminal of their own: what they write, and what stands on the screen in the end."""

import os
import re
import struct
import subprocess
import sys

from support.cli_runner import CALL, ROOT

_PARTS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(.)", re.DOTALL)


def on_terminal(*arguments, columns=80, **environment):
    """All that a command writes to a terminal so wide, as bytes, and its exit code."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")}
    env |= {"PYTHONPATH": str(ROOT), "TERM": "xterm", "PYTHONUTF8": "1"} | environment
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    written = []
    try:
        while part := os.read(ours, 2**16):
            written.append(part)
    except OSError:  # so a terminal says that nobody writes to it any more
        pass
    os.close(ours)
    return b"".join(written), process.wait(timeout=60)


def screen(written):
    """The lines that are left, without colours: what was written over is gone."""
    lines, row, column = [[]], 0, 0
    for code, letter, sign in _PARTS.findall(written.decode("utf-8")):
        if letter == "A":
            row = max(0, row - int(code or 1))
        elif letter == "K":
            lines[row] = [] if code == "2" else lines[row][:column]
        elif sign == "\r":
            column = 0
        elif sign == "\n":
            row, column = row + 1, 0
            lines += [[]] * (row == len(lines))
        elif sign:
            lines[row] = [*lines[row], *" " * (column - len(lines[row]))]
            lines[row][column : column + 1] = [sign]
            column += 1
    return ["".join(line).rstrip() for line in lines]
