"""What Fast DDS keeps in shared memory, and what processes that were killed leave there.

A segment `fastdds_<id>` holds the messages of one process, a port `fastdds_port<number>` tells a
process where messages for it lie. Beside each of them lies a file `..._el`, whose owner locks it;
the semaphore `sem.fastdds_port<number>_mutex` is held while a port is made or opened.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

FOLDER = Path("/dev/shm")
_HALF_MADE_S = 1.0
"""Making a segment or a port takes less than a millisecond."""
_FROM_DISCOVERY = 1
"""From the UDP port of a process for discovery, whose number decides, to its port for messages."""
_SEEN_NS = 1
"""The time of change of a port's lock that says that another process has passed it by."""


def remove_abandoned_segments(folder: Path = FOLDER) -> int:
    """Remove the segments of processes that were killed, 34 MB each; returns how many."""
    count = 0
    for segment, lock in _abandoned(folder, _owned(folder, "[0-9a-f]{16}")):
        with lock:
            # A process that still reads one keeps it in memory until it is done.
            if time.time() - os.fstat(lock.fileno()).st_mtime > _HALF_MADE_S:
                count += _remove(segment, Path(lock.name))
    return count


def abandoned_bytes(folder: Path = FOLDER) -> tuple[int, int]:
    """How many files processes that were killed left behind, and what these take, in bytes."""
    sizes = []
    for path, lock in _abandoned(folder, _owned(folder, ".*")):
        with lock, contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_blocks * 512)
    return len(sizes), sum(sizes)


def remove_half_made_ports(folder: Path = FOLDER) -> list[str]:
    """Remove ports whose maker was killed while it made them.

    They are empty files, and every process that opens one waits for ever. Returns their names.
    """
    removed = []
    for port in folder.glob("fastdds_port*[0-9]"):
        with contextlib.suppress(OSError):  # another process was faster, or it is not ours
            status = port.stat()
            if status.st_size == 0 and time.time() - status.st_mtime > _HALF_MADE_S:
                port.unlink()
                removed.append(port.name)
    return removed


@contextlib.contextmanager
def abandoned_ports_avoided(folder: Path = FOLDER) -> Iterator[None]:
    """Keep this process, while it joins DDS, off the ports of processes that were killed.

    Writers find out late, each by itself, that nobody reads such a port any more, and start it
    anew. A process that has just taken the number may then lose its own port and hear nothing for
    good: one start in fifteen on a busy machine. So their numbers are taken while it joins. The
    process after this one removes what it still finds, so that the numbers do not run out.
    """
    # A port that a writer has just started anew has no lock yet. Some are for many readers.
    names = {path.name.removesuffix("_el") for path in folder.glob("fastdds_port*")}
    ports = [name for name in names if name[12:].isdigit() and not (folder / f"{name}_sl").exists()]
    with contextlib.ExitStack() as held:
        found = [(port, held.enter_context(lock)) for port, lock in _abandoned(folder, ports)]
        for port, _ in found:
            with contextlib.suppress(OSError):  # somebody else has it
                taken = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                taken.bind(("", int(port.name[12:]) - _FROM_DISCOVERY))
        yield
        for port, lock in found:
            if os.fstat(lock.fileno()).st_mtime_ns == _SEEN_NS:
                _remove(port, Path(lock.name), folder / f"sem.{port.name}_mutex")
            else:
                with contextlib.suppress(PermissionError):  # another user's
                    os.utime(lock.fileno(), ns=(_SEEN_NS, _SEEN_NS))


def _owned(folder: Path, pattern: str) -> list[str]:
    """Names of files that have a lock."""
    locks = (path.name.removesuffix("_el") for path in folder.glob("fastdds_*_el"))
    return [name for name in locks if re.fullmatch(f"fastdds_{pattern}", name)]


def _abandoned(folder: Path, names: Iterable[str]) -> Iterator[tuple[Path, IO[str]]]:
    """Files whose owner has gone, each with its lock, which is held until it is closed."""
    for name in names:
        with contextlib.suppress(OSError):  # it has gone since, or is not ours to open
            lock = (folder / f"{name}_el").open("a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            yield folder / name, lock


def _remove(*files: Path) -> bool:
    with contextlib.suppress(PermissionError):  # another user's
        for file in files:
            file.unlink(missing_ok=True)
        return True
    return False
