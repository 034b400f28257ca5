"""SEE: single eyes expressing emotions, by the frames and events of a DAVIS346.

The layout, as the data set's instructions tell it::

    frame/<emotion>/<sequence>/00000.jpg ...   intensity frames, 30 a second
    event/<emotion>/<sequence>/00000.jpg ...   pictures of the events of 33 ms each
    emotion.json                               subset (training or testing) of each sequence

A sequence is named `number_ID_sex_age_degree_lighting_emotion_length_take`. The pictures under
`event` are no events any more (times and numbers are lost), so the frames alone are read.

Source: H. Zhang et al., "In the Blink of an Eye: Event-based Emotion Recognition", SIGGRAPH 2023,
and https://github.com/zhanghaiwei1234/Single-eye-Emotion-Recognition.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mx_capture.errors import MxError
from mx_capture.files.images import ImageFolderSource
from mx_capture.files.merged import MergedSource
from mx_capture.recording.layouts.imported import SESSION_START_NS, ImportedSession
from mx_capture.recording.session_info import Consent, Lighting, SessionInfo
from mx_capture.stream import Label, Source

_RATE_HZ = 30.0
_NAME_PARTS = 9


def is_see(folder: Path) -> bool:
    """Whether a folder looks like SEE."""
    return (folder / "frame").is_dir() and (folder / "event").is_dir()


def see_sessions(folder: Path) -> Iterator[ImportedSession]:
    """One session for each sequence of frames, in the order of their numbers.

    Its label spans the sequence and carries the emotion as its condition, and no Action Units.
    Raises MxError when there is no sequence, or a folder's name does not follow the layout.
    """
    subsets = _subsets(folder / "emotion.json")
    sequences = [path for path in (folder / "frame").glob("*/*") if path.is_dir()]
    if not sequences:
        raise MxError(f"{folder}/frame holds no sequence; expected frame/<emotion>/<sequence>")
    for path in sorted(sequences, key=_number):
        parts = path.name.split("_")
        subject, sex, age, degree, lighting, emotion = parts[1:7]
        info = SessionInfo(
            subject=subject,
            consent=Consent("data set"),
            lighting=Lighting(lighting),
            protocol="posed emotions",
            origin=f"SEE {path.name}",
            note="one eye only; the event pictures were left out",
            settings={
                "sex": sex,
                "age": age,
                "degree": degree,
                "take": parts[8],
                "subset": subsets.get(path.name, ""),
            },
        )
        yield ImportedSession(path.name, info, partial(_open, path, subject, emotion.lower()))


def _open(path: Path, subject: str, emotion: str) -> Source:
    frames = ImageFolderSource(path, _RATE_HZ)
    end_ns = SESSION_START_NS + frames.duration_ns
    middle_ns = (SESSION_START_NS + end_ns) // 2
    label = Label(subject, (), (), SESSION_START_NS, middle_ns, end_ns, "protocol", emotion)
    return MergedSource([(frames, 0)], start_ns=SESSION_START_NS, labels=[label])


def _number(path: Path) -> int:
    parts = path.name.split("_")
    if len(parts) != _NAME_PARTS or not parts[0].isdigit():
        raise MxError(f"{path} is not named number_ID_sex_age_degree_lighting_emotion_length_take")
    return int(parts[0])


def _subsets(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MxError(f"{path} is no readable JSON: {error}") from error
    sequences = content.get("database", content)
    return {
        name: str(entry.get("subset", ""))
        for name, entry in sequences.items()
        if isinstance(entry, dict)
    }
