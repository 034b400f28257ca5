"""Finds and removes what a data set holds of one subject, or holds for longer than it may."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mx_capture.errors import MxError
from mx_capture.recording.annotations import LABELS_FILE
from mx_capture.recording.session_info import (
    BAG_FOLDER,
    DATASET_FILE,
    SESSION_FILE,
    SessionInfo,
    read_session,
)

_TEXT = (".csv", ".html", ".json", ".md", ".txt", ".yaml", ".yml")
_LONGEST_TEXT = 50_000_000


@dataclass
class Traces:
    """What was found of a subject; paths are those that will go, or that a person must look at."""

    sessions: list[Path] = field(default_factory=list)
    derived: list[Path] = field(default_factory=list)
    """What is named after a session outside of it: caches, exports, tables; and what belongs to a
    session in a folder that holds others, too, and therefore stays."""
    mentions: list[Path] = field(default_factory=list)
    """Texts that name the subject or a session, such as reports: they are not removed."""
    unreadable: list[str] = field(default_factory=list)
    """Sessions of which nobody can say whose they are, and why."""

    @property
    def bytes(self) -> int:
        """The size of what will go."""
        paths = [*self.sessions, *self.derived]
        below = [file for path in paths for file in path.rglob("*")]
        return sum(path.stat().st_size for path in (*paths, *below) if path.is_file())


def find_traces(subject: str, folders: Iterable[Path]) -> Traces:
    """Sessions of `subject` in these folders, at any depth, and what was made from them.

    Raises MxError for a folder that is not there.
    """
    return _find(lambda info: info.subject == subject, [subject], list(folders))


def find_expired(day: str, folders: Iterable[Path]) -> Traces:
    """As `find_traces`, of sessions that were to be kept until before `day` (YYYY-MM-DD)."""
    return _find(lambda info: "" < info.retention.until < day, [], list(folders))


def _find(wanted: Callable[[SessionInfo], bool], names: list[str], folders: list[Path]) -> Traces:
    """`names`, and those of the sessions, are looked for in texts."""
    traces, others = Traces(), set[Path]()
    for folder in folders:
        if not folder.is_dir():
            raise MxError(f"{folder} is no folder; give the folder of a data set")
        # A data set may link to sessions elsewhere, which only the second pattern follows.
        found = {*folder.rglob(SESSION_FILE), *folder.glob(f"*/{SESSION_FILE}")}
        for path in sorted(found):
            try:
                if not wanted(read_session(path.parent)):
                    others.add(path.parent)
                    continue
            except MxError as error:
                traces.unreadable.append(str(error))
                others.add(path.parent)
                continue
            if _holds_more(path.parent):
                own = [path, path.with_name(LABELS_FILE), *path.parent.glob(f"{BAG_FOLDER}*")]
                traces.derived += [part for part in own if part.exists()]
            else:
                traces.sessions.append(path.parent)
    theirs, kept = _names(traces.sessions), _names(others)
    words = "|".join(map(re.escape, [*names, *theirs]))
    mentioned = re.compile(rf"\b({words})\b".encode()) if words else None
    foreign = {path.resolve() for path in others if not _holds_more(path)}
    for file in _files_outside(folders, [*traces.sessions, *traces.derived]):
        elsewhere = not foreign & set(file.resolve().parents)
        if elsewhere and _owner(file.name, theirs | kept) in theirs - kept:
            traces.derived.append(file)
        elif mentioned and file.suffix in _TEXT and _mentions(file, mentioned):
            traces.mentions.append(file)
    return traces


def _names(sessions: Iterable[Path]) -> set[str]:
    """What files may call sessions: by their links as well as by their folders."""
    return {name for path in sessions for name in (path.name, path.resolve().name)}


def _owner(file: str, sessions: set[str]) -> str:
    """The longest name of a session that `file` is named after; empty if there is none.

    "s1" made "s1.h5" and "s1_64x64.npz", but not "s10.h5", nor "s1_b.npz" if there is an "s1_b".
    What describes sessions and data sets is named after none, whatever they are called.
    """
    if file in (SESSION_FILE, DATASET_FILE):
        return ""
    found = [name for name in sessions if re.fullmatch(rf"{re.escape(name)}([._-].*)?", file)]
    return max(found, key=len, default="")


def _holds_more(folder: Path) -> bool:
    """Whether a session file lies where other things lie that are not the session's."""
    others = [path for path in folder.rglob(SESSION_FILE) if path.parent != folder]
    return bool(others) or any((folder / name).exists() for name in (DATASET_FILE, ".git"))


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


def _files_outside(folders: Iterable[Path], found: Iterable[Path]) -> Iterator[Path]:
    known = {path.resolve() for path in found}
    seen = set()
    for folder in folders:
        for place, below, files in os.walk(folder):
            below[:] = sorted(name for name in below if (Path(place) / name).resolve() not in known)
            for file in sorted(Path(place, name) for name in files):
                if (
                    file.resolve() not in seen
                    and not {file.resolve(), file.parent.resolve()} & known
                ):
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
