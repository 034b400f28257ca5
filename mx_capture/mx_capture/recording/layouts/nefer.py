"""NEFER: faces of people watching videos, by an event camera and a GoPro.

The layout, as the data set's own page and its annotation files tell it::

    annotations/**/{train,validation}_event.csv              what each video was to evoke
    annotations/**/{train,validation}_event_subjective.csv   what the subject reported
    annotations/**/{train,validation}_gopro.csv              the same for the RGB clips
    event_videos/**/<sequence>.{raw,dat,...}                  the event recordings
    rgb_videos/**/<user>/<clip>/frame_*.png                   the RGB frames

A row of a CSV is `user,sequence,path of a frame,emotion`. Which clip belongs to which event
sequence is not told: both are in the order of recording, so the n-th clip of a user is taken for
the n-th sequence where their numbers and emotions agree, and left out otherwise. The rate of the
RGB frames is not told either; they are spread evenly over the event recording.

Source: L. Berlincioni et al., "Neuromorphic Event-based Facial Expression Recognition", CVPR
Workshops, 2023, and https://github.com/miccunifi/NEFER.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mx_capture.errors import MxError
from mx_capture.files import READERS, VIDEO_SUFFIXES, open_source
from mx_capture.files.images import ImageFolderSource
from mx_capture.files.merged import MergedSource
from mx_capture.recording.layouts.imported import SESSION_START_NS, ImportedSession
from mx_capture.recording.session_info import Consent, SessionInfo
from mx_capture.stream import Label, Source

_SUBSETS = ("train", "validation")


@dataclass
class _Sequence:
    user: str
    name: str
    subset: str
    emotion: str
    reported: str = ""
    clip: str = ""


@dataclass
class _Annotations:
    sequences: dict[str, _Sequence] = field(default_factory=dict)
    clips: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """By user: clips and their emotions, in the order of recording."""


def is_nefer(folder: Path) -> bool:
    """Whether a folder looks like NEFER."""
    return (folder / "event_videos").is_dir() and any((folder / "annotations").rglob("*_event.csv"))


def nefer_sessions(folder: Path) -> Iterator[ImportedSession]:
    """One session for each annotated event sequence, by user and time.

    Its labels carry the emotion as their condition, and no Action Units: NEFER has none.
    Raises MxError when the annotations or an event recording are missing.
    """
    annotations = _read_annotations(folder / "annotations")
    if not annotations.sequences:
        raise MxError(f"{folder}/annotations lists no event sequence; expected *_event.csv files")
    _pair_clips(annotations)
    recordings = {
        path.stem.removesuffix("_cd"): path
        for path in sorted((folder / "event_videos").rglob("*"))
        if path.suffix.lower() in READERS and path.suffix.lower() not in VIDEO_SUFFIXES
    }
    clip_folders = {
        (path.parent.name, path.name): path
        for path in (folder / "rgb_videos").rglob("*")
        if path.is_dir()
    }
    for sequence in annotations.sequences.values():
        name = sequence.name.removesuffix("_cd")
        events = recordings.get(name)
        if events is None:
            raise MxError(f"{folder}/event_videos has no recording of {sequence.name}")
        clip = clip_folders.get((sequence.user, sequence.clip))
        info = SessionInfo(
            subject=sequence.user,
            consent=Consent("data set"),
            protocol="watching videos",
            origin=f"NEFER {sequence.name}",
            settings={"subset": sequence.subset, "rgb_clip": sequence.clip if clip else ""},
        )
        yield ImportedSession(name, info, partial(_open, events, clip, sequence))


def _open(events: Path, clip: Path | None, sequence: _Sequence) -> Source:
    source = open_source(events)
    start_ns = max(source.start_ns, SESSION_START_NS)
    sources: list[tuple[Source, int]] = [(source, 0)]
    if clip is not None:
        frames = len(list(clip.glob("*.png"))) or 1
        sources.append((ImageFolderSource(clip, frames / source.duration_ns * 1e9), 0))
    end_ns = start_ns + source.duration_ns
    middle_ns = (start_ns + end_ns) // 2
    said = [("protocol", sequence.emotion), ("annotator", sequence.reported)]
    labels = [
        Label(sequence.user, (), (), start_ns, middle_ns, end_ns, by, emotion.lower())
        for by, emotion in said
        if emotion and emotion != "None"
    ]
    return MergedSource(sources, start_ns=start_ns, labels=labels)


def _read_annotations(folder: Path) -> _Annotations:
    found = _Annotations()
    for subset in _SUBSETS:
        for user, name, emotion in _rows(folder, f"{subset}_event.csv"):
            found.sequences[name] = _Sequence(user, name, subset, emotion)
        for _, name, emotion in _rows(folder, f"{subset}_event_subjective.csv"):
            if name in found.sequences:
                found.sequences[name].reported = emotion
        for user, name, emotion in _rows(folder, f"{subset}_gopro.csv"):
            found.clips.setdefault(user, []).append((name, emotion))
    found.sequences = dict(sorted(found.sequences.items()))
    return found


def _rows(folder: Path, name: str) -> list[tuple[str, str, str]]:
    """User, sequence and emotion of each sequence in the CSV files of a name."""
    found: dict[str, tuple[str, str, str]] = {}
    for path in sorted(folder.rglob(name)):
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file), 1):
                if len(row) != 4:
                    raise MxError(f"{path}, line {number}: expected user,sequence,frame,emotion")
                found[row[1]] = (row[0], row[1], row[3].strip())
    return list(found.values())


def _pair_clips(annotations: _Annotations) -> None:
    """Set each sequence's clip where the order and the emotions of a user's clips agree."""
    by_user: dict[str, list[_Sequence]] = {}
    for sequence in annotations.sequences.values():
        by_user.setdefault(sequence.user, []).append(sequence)
    for user, sequences in by_user.items():
        clips = annotations.clips.get(user, [])
        if [emotion for _, emotion in clips] == [sequence.emotion for sequence in sequences]:
            for sequence, (clip, _) in zip(sequences, clips, strict=True):
                sequence.clip = clip
