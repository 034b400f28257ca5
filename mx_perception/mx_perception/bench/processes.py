"""Cores and memory of the nodes of a graph, as /proc has them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
_NODE = re.compile(r"__node:=(\w+)")


@dataclass(frozen=True)
class Usage:
    """What a process has used since it started: seconds of a core, and megabytes now."""

    cpu_s: float
    rss_mb: float


def node_processes(launcher: int) -> dict[str, int]:
    """Process ids of the nodes that a launcher started, by node name."""
    found = {}
    for pid in _descendants(launcher):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has ended since
        named = _NODE.search(words)
        if named:
            found[named[1]] = pid
    return found


def usage(pid: int) -> Usage | None:
    """What a process uses; None when it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # Not smaps_rollup: the kernel walks every page for it while the process waits.
        pages = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return None
    return Usage((int(stat[11]) + int(stat[12])) / _TICKS, int(pages[1]) * _PAGE_MB)


def _descendants(parent: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended since
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = [parent]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found
