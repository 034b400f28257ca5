"""Readers of the files that event cameras, data sets and this suite itself write."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from mx_capture.errors import MxError
from mx_capture.stream import Source

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")

READERS = {
    ".raw": "raw.RawSource",
    ".dat": "dat.DatSource",
    ".aedat4": "aedat4.Aedat4Source",
    ".h5": "hdf5.Hdf5Source",
    ".hdf5": "hdf5.Hdf5Source",
    ".bin": "ncaltech.NCaltechSource",
    **dict.fromkeys(VIDEO_SUFFIXES, "video.VideoSource"),
}
"""Module and class by extension; only the one that is needed is imported."""
_FOLDERS = "session.SessionSource"


def open_source(path: str | Path) -> Source:
    """The source for a file by its extension, or for a folder that is a session or a rosbag2.

    Raises MxError for a path that is missing, unreadable, empty, damaged or of an unknown kind.
    """
    path = Path(path)
    if not path.exists():
        raise MxError(f"{path} does not exist; give the path of a recording, session or video")
    if path.is_dir():
        return _reader(_FOLDERS)(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise MxError(
            f"{path} has the unknown extension {path.suffix!r}; known are "
            f"{', '.join(READERS)}, and folders with a session or a rosbag2"
        )
    try:
        if path.stat().st_size == 0:
            raise MxError(f"{path} is empty; copy or record it again")
        return _reader(reader)(path)
    except OSError as error:
        raise MxError(f"cannot read {path}: {error.strerror or error}; check its rights") from error


def _reader(name: str) -> Callable[[Path], Source]:
    module, _, reader = name.partition(".")
    found: Callable[[Path], Source] = getattr(
        importlib.import_module(f"mx_capture.files.{module}"), reader
    )
    return found
