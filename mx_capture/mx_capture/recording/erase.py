"""Finds and removes everything that a data set holds of one subject."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mx_capture.errors import MxError
from mx_capture.recording.session_info import SESSION_FILE, read_session

_TEXT = (".csv", ".html", ".json", ".md", ".txt", ".yaml", ".yml")
_LONGEST_TEXT = 50_000_000


@dataclass
class Traces:
    """What was found of a subject; paths are those that will go, or that a person must look at."""

    sessions: list[Path] = field(default_factory=list)
    derived: list[Path] = field(default_factory=list)
    """Files outside of the sessions that are named after one of them: caches, exports, tables."""
    mentions: list[Path] = field(default_factory=list)
    """Texts that name the subject or a session, such as reports: they are not removed."""
    unreadable: list[str] = field(default_factory=list)
    """Sessions of which nobody can say whose they are, and why."""

    @property
    def bytes(self) -> int:
        """The size of what will go."""
        files = [file for path in self.sessions for file in path.rglob("*") if file.is_file()]
        return sum(path.stat().st_size for path in (*files, *self.derived))


def find_traces(subject: str, folders: Iterable[Path]) -> Traces:
    """Sessions of `subject` in these folders, at any depth, and what was made from them.

    Raises MxError for a folder that is not there.
    """
    folders = list(folders)
    traces = Traces()
    for folder in folders:
        if not folder.is_dir():
            raise MxError(f"{folder} is no folder; give the folder of a data set")
        # A data set may link to sessions elsewhere, which only the second pattern follows.
        found = {*folder.rglob(SESSION_FILE), *folder.glob(f"*/{SESSION_FILE}")}
        for path in sorted(found):
            try:
                if read_session(path.parent).subject == subject:
                    traces.sessions.append(path.parent)
            except MxError as error:
                traces.unreadable.append(str(error))
    names = [re.escape(path.resolve().name) for path in traces.sessions]
    # "s1" made "s1.h5" and "s1_64x64.npz", but not "s10.h5".
    named = re.compile(rf"({'|'.join(names)})([._-].*)?") if names else None
    mentioned = re.compile(rf"\b({'|'.join([re.escape(subject), *names])})\b".encode())
    for file in _files_outside(folders, traces.sessions):
        if named and named.fullmatch(file.name):
            traces.derived.append(file)
        elif file.suffix in _TEXT and _mentions(file, mentioned):
            traces.mentions.append(file)
    return traces


def erase(traces: Traces) -> None:
    """Remove the sessions and what was derived from them. Raises MxError at what cannot go."""
    for path in [*traces.sessions, *traces.derived]:
        try:
            if path.is_dir():
                shutil.rmtree(path.resolve())
            if path.is_symlink() or path.is_file():
                path.unlink()
        except OSError as error:
            raise MxError(f"cannot remove {path}: {error.strerror}; check its rights") from error


def _files_outside(folders: Iterable[Path], sessions: Iterable[Path]) -> Iterator[Path]:
    known = {path.resolve() for path in sessions}
    seen = set()
    for folder in folders:
        for place, below, files in os.walk(folder):
            below[:] = sorted(name for name in below if (Path(place) / name).resolve() not in known)
            for file in sorted(Path(place, name) for name in files):
                if file.resolve() not in seen and file.parent.resolve() not in known:
                    seen.add(file.resolve())
                    yield file


def _mentions(file: Path, pattern: re.Pattern[bytes]) -> bool:
    try:
        if file.stat().st_size > _LONGEST_TEXT:
            return False
        return pattern.search(file.read_bytes()) is not None
    except OSError:
        # What cannot be read cannot be judged either: let a person look.
        return True
