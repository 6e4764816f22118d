"""A room for one process at a time, which is empty and gone when the last one leaves."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PAUSE = 0.1  # seconds between two looks at a lock
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def _taken(file: IO[bytes]) -> bool:
    """Lock the file; False where another process has. The system gives the lock back when this process ends, however it does."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return True
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


def _lock(file: IO[bytes], on_no_locks: Callable[[], None]) -> bool:
    try:
        return _taken(file)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if error.errno in _UNKNOWN:
            on_no_locks()
            return True
        raise


def _names_same_file(file: IO[bytes], path: Path) -> bool:
    """Whether the open file still is what `path` names: whoever had it before may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _enter(room: Path) -> IO[bytes] | None:
    try:
        room.mkdir(parents=True, exist_ok=True)
        return (room / "lock").open("ab")
    except FileNotFoundError:  # another process left, and took the room with it
        return None


@contextmanager
def alone(room: Path, on_wait: Callable[[], None], on_no_locks: Callable[[], None]) -> Iterator[Path]:
    """A folder that this process has for itself, and that is removed with all that it holds.

    Parameters
    ----------
    room : the folder
    on_wait : called once, where another process is in there; what it raises ends the wait
    on_no_locks : called where the file system knows no locks
    """
    said = False
    while True:
        file = _enter(room)
        if file is None:
            continue
        try:
            if _lock(file, on_no_locks):
                if _names_same_file(file, room / "lock"):
                    break
            elif not said:
                said = True
                on_wait()
        except BaseException:
            file.close()
            raise
        file.close()
        time.sleep(PAUSE)
    try:
        _empty(room)
        yield room
    finally:
        _leave(room, file)


def _empty(room: Path) -> None:
    """Remove what a process that was killed left behind."""
    for path in room.iterdir():
        if path.name != "lock":
            path.unlink(missing_ok=True)


def _leave(room: Path, file: IO[bytes]) -> None:
    """Remove the room. The lock goes while it is held: whoever waits for it sees that it is gone."""
    _empty(room)
    try:
        (room / "lock").unlink(missing_ok=True)
        file.close()
    except PermissionError:  # Windows removes no open file
        file.close()
        with suppress(OSError):
            (room / "lock").unlink()
    with suppress(OSError):  # another process has entered it
        room.rmdir()
