"""Folder layouts of public data sets, read as sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from mx_capture.recording.layouts.imported import ImportedSession
from mx_capture.recording.layouts.nefer import is_nefer, nefer_sessions
from mx_capture.recording.layouts.see import is_see, see_sessions

__all__ = ["LAYOUTS", "ImportedSession", "layout_of"]

LAYOUTS: dict[str, Callable[[Path], Iterator[ImportedSession]]] = {
    "nefer": nefer_sessions,
    "see": see_sessions,
}


def layout_of(folder: Path) -> str | None:
    """The name of the layout that a folder has; None for any other folder."""
    if is_nefer(folder):
        return "nefer"
    return "see" if is_see(folder) else None
