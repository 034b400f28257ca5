"""The live graph as a bench runs it: launched in processes of its own, its cameras replayed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.simulator.cache import simulated_session
from mx_capture.simulator.config import SimulationConfig
from rich.console import Console

from mx_perception.bench.processes import node_processes

CAMERAS = ("event_camera_node", "rgb_camera_node")
_START_S = 60.0
_LOOK_S = 0.01


class LiveGraph:
    """files.launch.xml on a session, from `with` to the end of its block."""

    def __init__(self, session: Path, *, respawn: bool) -> None:
        """Raises MxError when the session cannot be opened."""
        open_source(session)
        runner = ["ros2", "launch"] if shutil.which("ros2") else [sys.executable, "-m", "mx_launch"]
        arguments = [f"events:={session.resolve()}", f"respawn:={str(respawn).lower()}"]
        self._words = [*runner, "mx_bringup", "files.launch.xml", *arguments]
        self._folder = TemporaryDirectory()
        self._log = Path(self._folder.name, "nodes.log")

    def __enter__(self) -> LiveGraph:
        with self._log.open("wb") as output:
            self.began_s = time.monotonic()
            self._process = subprocess.Popen(self._words, stdout=output, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)
        self._folder.cleanup()

    def pids(self) -> dict[str, int]:
        """Process ids of the nodes, by name."""
        return node_processes(self._process.pid)

    def check(self) -> None:
        """Raises MxError, with what the nodes said, when the graph has ended."""
        if self._process.poll() is not None:
            lines = self._log.read_text(errors="replace").strip().splitlines() or ["no output"]
            reason = next((line for line in lines if "ERROR" in line or "mx:" in line), lines[-1])
            raise MxError(f"the graph ended early: {reason}")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds; MxError when it does not in time."""
        end = time.monotonic() + _START_S
        while not condition():
            if time.monotonic() > end:
                raise MxError(f"no {what} within {_START_S:.0f} s; is a face in view?")
            self.check()
            time.sleep(_LOOK_S)


def session_or_simulated(session: Path | None, console: Console) -> Path:
    """The session to replay: the given one, or a simulated person at 346x260."""
    if session is not None:
        return session
    config = SimulationConfig(sensor="346x260")
    with console.status("rendering a simulated person at 346x260 (once)"):
        return Path(simulated_session(config).path)  # type: ignore[attr-defined]
