"""What Fast DDS keeps in shared memory, and what processes that were killed leave there.

A segment `fastdds_<id>` holds the messages of one process, a port `fastdds_port<number>` tells a
process where messages for it lie. Beside each of them lies a file `..._el`, whose owner locks it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("/dev/shm")
_HALF_MADE_S = 1.0
"""Making a segment or a port takes less than a millisecond."""
_GIVEN_UP_S = 10.0
"""By then all writers have found out that nobody reads a port any more."""
_MARK_NS = 1
"""These nanoseconds in the time of a lock's change say that the time is that of `_mark`."""
_FROM_DISCOVERY = 1
"""From the UDP port of a process for discovery, whose number decides, to its port for messages."""
_MADE = 2
"""The first four bytes of a port, once it can be used."""


def remove_abandoned_segments(folder: Path = FOLDER) -> int:
    """Remove the segments of processes that were killed, 34 MB each; returns how many."""
    count = 0
    for name in _owned(folder, "fastdds_[0-9a-f]{16}"):
        with _lock_of_nobody(folder / f"{name}_el") as lock:
            # A process that still reads one keeps it in memory until it is done.
            if lock is not None and time.time() - os.fstat(lock).st_mtime > _HALF_MADE_S:
                _remove(folder / name, folder / f"{name}_el")
                count += 1
    return count


def abandoned_bytes(folder: Path = FOLDER) -> tuple[int, int]:
    """How many files processes that were killed left behind, and what these take, in bytes."""
    sizes = []
    for name in _owned(folder, "fastdds_.*"):
        with _lock_of_nobody(folder / f"{name}_el") as lock, contextlib.suppress(FileNotFoundError):
            if lock is not None:
                sizes.append((folder / name).stat().st_blocks * 512)
    return len(sizes), sum(sizes)


def remove_half_made_ports(folder: Path = FOLDER) -> list[str]:
    """Remove ports whose maker was killed while it made them.

    Every process that opens one waits for ever. Returns their names.
    """
    removed = []
    for name, _ in _ports(folder):
        with contextlib.suppress(OSError), (folder / name).open("rb") as port:
            made = int.from_bytes(port.read(4), "little") >= _MADE
            if not made and time.time() - os.fstat(port.fileno()).st_mtime > _HALF_MADE_S:
                (folder / name).unlink()
                removed.append(name)
    return removed


def remove_abandoned_ports(folder: Path = FOLDER) -> None:
    """Remove ports that were found without an owner 10 s ago or earlier, so that numbers last."""
    for name in _owned(folder, "fastdds_port[0-9]+"):
        with _lock_of_nobody(folder / f"{name}_el") as lock:
            if lock is None:
                continue
            marked_s, mark = divmod(os.fstat(lock).st_mtime_ns, 10**9)
            if mark != _MARK_NS:
                with contextlib.suppress(PermissionError):  # another user's
                    _mark(lock)
            elif time.time() - marked_s > _GIVEN_UP_S:
                _remove(folder / name, folder / f"{name}_el")


@contextlib.contextmanager
def abandoned_ports_avoided(folder: Path = FOLDER) -> Iterator[None]:
    """Keep this process, while it joins DDS, off the numbers of processes that were killed.

    Writers find out late, each by itself, that nobody reads a port any more, and start it anew. A
    process that has just taken its number may then lose its own port and hear nothing for good:
    one start in fifteen on a busy machine.
    """
    with contextlib.ExitStack() as taken:
        for _, number in _ports(folder):
            udp = taken.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):  # its owner lives
                udp.bind(("", number - _FROM_DISCOVERY))
        yield


def _ports(folder: Path) -> list[tuple[str, int]]:
    """Names and numbers of the ports for discovery and messages of single processes."""
    names = (path.name for path in folder.glob("fastdds_port*"))
    found = [(name, int(name[12:])) for name in names if re.fullmatch("fastdds_port[0-9]+", name)]
    return [(name, number) for name, number in found if 1024 < number < 65536]


def _owned(folder: Path, pattern: str) -> list[str]:
    """Names of files that have a lock."""
    locks = (path.name.removesuffix("_el") for path in folder.glob("fastdds_*_el"))
    return [name for name in locks if re.fullmatch(pattern, name)]


@contextlib.contextmanager
def _lock_of_nobody(path: Path) -> Iterator[int | None]:
    """The descriptor of a lock whose owner has gone, held meanwhile; None if it lives."""
    with contextlib.ExitStack() as held:
        lock = None
        with contextlib.suppress(OSError):  # it is in use, has gone since, or is not ours to open
            file = held.enter_context(path.open("rb"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Fast DDS removes the name after it gave up the lock.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                lock = file.fileno()
        yield lock


def _mark(lock: int) -> None:
    now_ns = int(time.time()) * 10**9 + _MARK_NS
    os.utime(lock, ns=(now_ns, now_ns))


def _remove(*files: Path) -> None:
    with contextlib.suppress(PermissionError):  # another user's
        for file in files:
            file.unlink(missing_ok=True)
