"""Sessions rendered once and played many times, so that a live simulation keeps up with time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO

from mx_capture.errors import MxError
from mx_capture.files.session import SessionSource
from mx_capture.simulator.config import SimulationConfig
from mx_capture.stream import Source

MOST_BYTES = 2_000_000_000
"""Some 25 sessions of the default length and sensor."""

_playing: list[IO[str]] = []
"""Locks of the sessions that this process may read until it ends."""


def simulated_session(
    config: SimulationConfig, progress: Callable[[float], None] | None = None
) -> Source:
    """The session of this configuration, from the cache or rendered into it now.

    Several processes may ask at once: one renders and the others wait. `progress` is called with
    the share rendered, 0 to 1. The sessions that were not asked for for the longest time are
    deleted when the cache grows beyond `MOST_BYTES`, but none that a process still plays.
    Raises MxError when the cache cannot be written.
    """
    root = cache_folder()
    folder = root / _key(config)
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Shared while this process lives; `_prune` deletes only what nobody has locked.
        lock = _lock_of(folder).open("w")
        _playing.append(lock)
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not folder.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                _render(config, folder, progress)
            fcntl.flock(lock, fcntl.LOCK_SH)
            _prune(root)
        os.utime(folder)
    except OSError as error:
        raise MxError(f"cannot write {root}: {error.strerror}; check space and rights") from error
    return SessionSource(folder)


def cache_folder() -> Path:
    """`.cache/simulator` beside the virtual environment, or in the user's cache without one."""
    if sys.prefix != sys.base_prefix:
        return Path(sys.prefix).parent / ".cache" / "simulator"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mx" / "simulator"


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _prune(root: Path) -> None:
    """Delete the sessions asked for the longest time ago, until the rest fits."""
    sizes = {
        folder: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in root.iterdir()
        if folder.is_dir() and folder.suffix != ".partial"
    }
    for folder in sorted(sizes, key=lambda folder: folder.stat().st_mtime):
        if sum(sizes.values()) <= MOST_BYTES:
            return
        with _lock_of(folder).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder)
            del sizes[folder]


def _render(
    config: SimulationConfig, folder: Path, progress: Callable[[float], None] | None
) -> None:
    # Who plays what is there starts without waiting for the compiler.
    from mx_capture.simulator.sessions import record
    from mx_capture.simulator.source import SimulatedSource

    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        record(SimulatedSource(config), partial, progress)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _key(config: SimulationConfig) -> str:
    """A name that changes with the configuration and with the simulator's own code."""
    digest = hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return f"{config.protocol}-{config.seed}-{digest.hexdigest()[:16]}"
