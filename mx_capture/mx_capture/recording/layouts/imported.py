"""What a layout yields: one session, before it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mx_capture.recording.session_info import SessionInfo
from mx_capture.stream import Source

SESSION_START_NS = 1_000_000_000
"""ROS time at which sessions start whose files do not tell when they were recorded.

Not 0, which ROS takes for a clock that has not started.
"""


@dataclass(frozen=True)
class ImportedSession:
    """A session to write: the folder's name, what is known about it, and its content."""

    name: str
    info: SessionInfo
    open: Callable[[], Source]
    """Opens the files; raises MxError when they are missing or damaged."""
