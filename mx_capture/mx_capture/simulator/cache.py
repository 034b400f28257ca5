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

from mx_capture.errors import MxError
from mx_capture.files.session import SessionSource
from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.sessions import record
from mx_capture.simulator.source import SimulatedSource
from mx_capture.stream import Source


def simulated_session(
    config: SimulationConfig, progress: Callable[[float], None] | None = None
) -> Source:
    """The session of this configuration, from the cache or rendered into it now.

    Several processes may ask at once: one renders and the others wait. `progress` is called with
    the share rendered, 0 to 1. Raises MxError when the cache cannot be written.
    """
    root = cache_folder()
    folder = root / _key(config)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                _render(config, folder, progress)
    except OSError as error:
        raise MxError(f"cannot write {root}: {error.strerror}; check space and rights") from error
    return SessionSource(folder)


def cache_folder() -> Path:
    """`.cache/simulator` beside the virtual environment, or in the user's cache without one."""
    if sys.prefix != sys.base_prefix:
        return Path(sys.prefix).parent / ".cache" / "simulator"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mx" / "simulator"


def _render(
    config: SimulationConfig, folder: Path, progress: Callable[[float], None] | None
) -> None:
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
