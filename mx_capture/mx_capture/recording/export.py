"""Turns a session into one file for people who do not use ROS: npz or HDF5.

What the file holds, under the same names in both formats:

- `events/x`, `y` (uint16, pixels), `p` (uint8, 1 brighter), `t` (int64, us), and `t_offset` (int64,
  us): ROS time of an event is `t + t_offset`. In HDF5 also `ms_to_idx`: the first event at or
  after each millisecond. This is the layout of DSEC.
- `frames/image` `(N, H, W, 3)` or `(N, H, W)` uint8, RGB, and `frames/stamp_ns` (int64, ROS time).
- `labels/onset_ns`, `apex_ns`, `offset_ns` (int64, ROS time), and `labels/json` with all of them.
- `session`: session.yaml as JSON, where the session has one; `size/events`, `size/frames`.

In npz the slashes are underscores.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mx_capture.clock import SharedClock
from mx_capture.codecs import make_decoder
from mx_capture.codecs.decoder import Decoder
from mx_capture.errors import MxError
from mx_capture.files.ordering import stamp_of
from mx_capture.files.session import SessionSource
from mx_capture.recording.session_info import SESSION_FILE, read_session
from mx_capture.stream import Frame, Label, Packet

_NPZ_LIMIT_BYTES = 8 << 30
_CHUNK_EVENTS = 1 << 16
_DTYPES = {"x": "<u2", "y": "<u2", "p": "u1", "t": "<i8"}


def export_session(
    session: str | Path, path: str | Path, progress: Callable[[int], None] | None = None
) -> dict[str, int]:
    """Write `path` (.npz, .h5 or .hdf5) from a session; returns how much of each kind.

    `progress` is called with the stamp in ns of each item. Raises MxError for another extension,
    an existing file, an unreadable session, or one that does not fit an npz.
    """
    path = Path(path)
    if path.suffix not in (".npz", ".h5", ".hdf5"):
        raise MxError(f"{path}: unknown extension {path.suffix!r}; known are .npz, .h5 and .hdf5")
    if path.exists():
        raise MxError(f"{path} exists already; give another name")
    source = SessionSource(session)
    partial = path.with_name(path.name + ".partial")
    try:
        sink: _Hdf5 | _Npz = _Npz(partial) if path.suffix == ".npz" else _Hdf5(partial)
        counts = _fill(source, sink, progress)
        sink.close(_extras(source, Path(session)))
        partial.rename(path)
    except OSError as error:
        raise MxError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return counts


def _fill(
    source: SessionSource, sink: _Hdf5 | _Npz, progress: Callable[[int], None] | None
) -> dict[str, int]:
    labels: list[Label] = []
    counts = {"events": 0, "frames": 0, "labels": 0}
    decoder: Decoder | None = None
    for item in source:
        if isinstance(item, Packet):
            if decoder is None:
                decoder = make_decoder(item.encoding, item.height, item.width)
            events = decoder.decode(item.events, item.time_base)
            if len(events):
                if not counts["events"]:
                    sink.t_offset_us = _offset_us(item, events, decoder)
                sink.add_events(events)
                counts["events"] += len(events)
        elif isinstance(item, Frame):
            sink.add_frame(item)
            counts["frames"] += 1
        else:
            labels.append(item)
        if progress is not None:
            progress(stamp_of(item))
    counts["labels"] = len(labels)
    sink.labels = labels
    return counts


def _offset_us(packet: Packet, events: np.ndarray, decoder: Decoder) -> int:
    """ROS time in us at sensor time 0: told by the packet, else from its arrival."""
    if decoder.absolute_time:
        return 0
    if not packet.time_base:
        return packet.stamp_ns // 1_000 - int(events["t"][-1])
    clock = SharedClock()
    clock.observe(packet, int(events["t"][-1]))
    return clock.stamp_ns(0) // 1_000


def _extras(source: SessionSource, session: Path) -> dict[str, Any]:
    has_info = (session / SESSION_FILE).is_file()
    info = dataclasses.asdict(read_session(session)) if has_info else {}
    return {
        "session": json.dumps(info),
        "size/events": np.array(source.event_size or (0, 0), np.int64),
        "size/frames": np.array(source.frame_size or (0, 0), np.int64),
    }


def _label_arrays(labels: list[Label]) -> Iterator[tuple[str, Any]]:
    for name in ("onset_ns", "apex_ns", "offset_ns"):
        yield f"labels/{name}", np.array([getattr(label, name) for label in labels], np.int64)
    yield "labels/json", json.dumps([dataclasses.asdict(label) for label in labels])


class _Hdf5:
    """Streams into an HDF5 file; compressed by h5py's own filters, so that any HDF5 reads it."""

    def __init__(self, path: Path) -> None:
        self.t_offset_us = 0
        self.labels: list[Label] = []
        self._file = h5py.File(path, "w")
        self._events = {
            name: self._file.create_dataset(
                f"events/{name}",
                (0,),
                dtype,
                maxshape=(None,),
                chunks=(_CHUNK_EVENTS,),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            )
            for name, dtype in _DTYPES.items()
        }
        self._first_of_ms: list[int] = []

    def add_events(self, events: np.ndarray) -> None:
        first = self._events["t"].shape[0]
        for name, dataset in self._events.items():
            dataset.resize((first + len(events),))
            dataset[first:] = events[name]
        self._index(events["t"], first)

    def add_frame(self, frame: Frame) -> None:
        if "frames/image" not in self._file:
            shape = frame.image.shape
            self._file.create_dataset(
                "frames/image",
                (0, *shape),
                np.uint8,
                maxshape=(None, *shape),
                chunks=(1, *shape),
                compression="gzip",
                compression_opts=1,
            )
            self._file.create_dataset("frames/stamp_ns", (0,), np.int64, maxshape=(None,))
        images, stamps = self._file["frames/image"], self._file["frames/stamp_ns"]
        if images.shape[1:] != frame.image.shape:
            raise MxError("the session has frames of several sizes; export cannot hold them")
        for dataset, value in ((images, frame.image), (stamps, frame.stamp_ns)):
            dataset.resize(len(dataset) + 1, axis=0)
            dataset[-1] = value

    def close(self, extras: dict[str, Any]) -> None:
        self._file["t_offset"] = self.t_offset_us
        self._file["ms_to_idx"] = np.array(self._first_of_ms, np.uint64)
        for name, value in (*extras.items(), *_label_arrays(self.labels)):
            self._file[name] = value
        size = extras["size/events"]
        self._file["events"].attrs.update({"height": int(size[0]), "width": int(size[1])})
        self._file.close()

    def _index(self, times: np.ndarray, first: int) -> None:
        """Extend the first event of every millisecond up to the last event."""
        begin, end = len(self._first_of_ms), int(times[-1]) // 1_000 + 1
        if end > begin:
            wanted = np.arange(begin, end) * 1_000
            self._first_of_ms += (first + np.searchsorted(times, wanted)).tolist()


class _Npz:
    """Collects everything in memory, then writes it at once."""

    def __init__(self, path: Path) -> None:
        self.t_offset_us = 0
        self.labels: list[Label] = []
        self._path = path
        self._events: list[np.ndarray] = []
        self._frames: list[Frame] = []
        self._bytes = 0

    def add_events(self, events: np.ndarray) -> None:
        self._events.append(events)
        self._count(events.nbytes)

    def add_frame(self, frame: Frame) -> None:
        if self._frames and self._frames[0].image.shape != frame.image.shape:
            raise MxError("the session has frames of several sizes; export cannot hold them")
        self._frames.append(frame)
        self._count(frame.image.nbytes)

    def close(self, extras: dict[str, Any]) -> None:
        columns = {
            f"events/{name}": np.concatenate([block[name] for block in self._events])
            if self._events
            else np.empty(0, dtype)
            for name, dtype in _DTYPES.items()
        }
        arrays: dict[str, Any] = {**columns, **extras, **dict(_label_arrays(self.labels))}
        if self._frames:
            arrays["frames/image"] = np.stack([frame.image for frame in self._frames])
            stamps = [frame.stamp_ns for frame in self._frames]
            arrays["frames/stamp_ns"] = np.array(stamps, np.int64)
        arrays["t_offset"] = np.int64(self.t_offset_us)
        with self._path.open("wb") as file:
            np.savez_compressed(
                file, **{name.replace("/", "_"): value for name, value in arrays.items()}
            )

    def _count(self, added: int) -> None:
        self._bytes += added
        if self._bytes > _NPZ_LIMIT_BYTES:
            raise MxError("the session does not fit an npz in memory; export it as .h5")
