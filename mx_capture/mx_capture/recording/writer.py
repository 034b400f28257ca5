"""Writes raw CDR messages as a rosbag2 recording (mcap) that survives the end of its process."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import yaml
from mcap.writer import CompressionType, Writer

from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from mx_capture.recording import qos
from mx_capture.recording.message_types import definition_of, register_definition

_CHUNK_BYTES = 1 << 20
"""What fits the processor's cache while a chunk is put together; 4 MB cost half as much again."""
_MB = 1_000_000


@dataclass(frozen=True)
class WriterConfig(Config):
    """How a recording is cut into chunks and files."""

    flush_s: float = setting(
        0.5,
        "Longest time in memory, in seconds; 0: whole chunks only",
        minimum=0,
        maximum=1,
    )
    split_mb: int = setting(0, "Start a new file after this many megabytes; 0: never", minimum=0)
    split_s: int = setting(0, "Start a new file after this many seconds; 0: never", minimum=0)
    reserve_mb: int = setting(
        500, "Stop recording when the disk has less free than this", minimum=0
    )


@dataclass
class _Topic:
    name: str
    type_name: str
    definition: str
    type_hash: str
    offered: tuple[qos.Qos, ...]
    count: int = 0


@dataclass
class _File:
    """One mcap file of the recording, and what metadata.yaml says about it."""

    path: Path
    stream: BinaryIO
    writer: Writer
    channels: dict[str, int] = field(default_factory=dict)
    schemas: dict[str, int] = field(default_factory=dict)
    count: int = 0
    start_ns: int = 0
    end_ns: int = 0


class RecordingWriter:
    """A new rosbag2 folder: `<name>_0.mcap`, further files after splits, metadata.yaml at the end.

    Chunks are closed and flushed to the operating system every `flush_s` of `clock`, as long as
    `write` or `flush_if_due` is called, so that only younger messages are lost with the process.
    With `flush_s` 0 the bytes of the files depend on nothing but the messages.

    Raises MxError when the folder exists or cannot be made, and from `write` when the disk is
    full or down to its reserve; the recording has then been closed properly.
    """

    def __init__(
        self,
        path: str | Path,
        config: WriterConfig | None = None,
        *,
        name: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        self._config = config or WriterConfig()
        self._name = name or self.path.name
        self._clock = clock
        self._topics: dict[str, _Topic] = {}
        self._files: list[_File] = []
        self._flushed_at = clock()
        self._closed = False
        try:
            self.path.mkdir(parents=True)
        except FileExistsError as error:
            raise MxError(f"{self.path} exists already; give another folder") from error
        except OSError as error:
            raise MxError(
                f"cannot create {self.path}: {error.strerror}; check its rights"
            ) from error
        self._check_free_space()
        self._open_file()

    def add_topic(
        self,
        topic: str,
        type_name: str,
        offered: tuple[qos.Qos, ...] = (),
        definition: str | None = None,
    ) -> None:
        """Announce a topic with the QoS its publishers offer; known topics are left as they are.

        `definition`: the type's full ros2msg text, where it is not among the installed types.
        Raises MxError when `topic` was announced with another type, or the type is unknown.
        """
        known = self._topics.get(topic)
        if known is not None:
            if known.type_name != type_name:
                raise MxError(f"{topic} is {known.type_name} and {type_name} at once; record one")
            return
        if definition is None:
            definition, type_hash = definition_of(type_name)
        else:
            type_hash = register_definition(type_name, definition)
        self._topics[topic] = _Topic(topic, type_name, definition, type_hash, offered)

    def write(self, topic: str, type_name: str, stamp_ns: int, cdr: bytes) -> None:
        """Append one message with the ROS time in ns at which it was received."""
        self.add_topic(topic, type_name)
        try:
            file = self._files[-1]
            if self._is_full(file, stamp_ns):
                file = self.split()
            file.writer.add_message(self._channel(file, topic), stamp_ns, cdr, stamp_ns)
        except OSError as error:
            raise self._disk_error(error) from error
        file.start_ns = min(file.start_ns, stamp_ns) if file.count else stamp_ns
        file.end_ns = max(file.end_ns, stamp_ns)
        file.count += 1
        self._topics[topic].count += 1
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Close and flush the chunk when `flush_s` is over; call it also while nothing arrives."""
        if self._config.flush_s and self._clock() - self._flushed_at >= self._config.flush_s:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system; MxError when the disk is down to its reserve."""
        self._flushed_at = self._clock()
        try:
            self._files[-1].writer.flush()
        except OSError as error:
            raise self._disk_error(error) from error
        self._check_free_space()

    def split(self) -> _File:
        """Finish the current file and go on in the next."""
        self._finish_file(self._files[-1])
        return self._open_file()

    def close(self) -> None:
        """Write the indexes and metadata.yaml; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self._finish_file(self._files[-1])
            self._write_metadata()
        except OSError as error:
            raise MxError(
                f"{self.path} could not be closed: {error.strerror}; "
                f"free some space, then `./mx recover {self.path}`"
            ) from error

    @property
    def counts(self) -> dict[str, int]:
        """Messages written so far, by topic."""
        return {topic.name: topic.count for topic in self._topics.values()}

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_file(self) -> _File:
        path = self.path / f"{self._name}_{len(self._files)}.mcap"
        stream = path.open("xb")
        writer = Writer(stream, chunk_size=_CHUNK_BYTES, compression=CompressionType.NONE)
        writer.start("ros2", "mx")
        stream.flush()
        self._files.append(_File(path, stream, writer))
        return self._files[-1]

    def _channel(self, file: _File, name: str) -> int:
        channel = file.channels.get(name)
        if channel is None:
            topic = self._topics[name]
            schema = file.schemas.get(topic.type_name)
            if schema is None:
                text = topic.definition.encode()
                schema = file.writer.register_schema(topic.type_name, "ros2msg", text)
                file.schemas[topic.type_name] = schema
            # What `ros2 bag reindex` makes metadata.yaml of.
            metadata = {
                "offered_qos_profiles": qos.to_text(topic.offered),
                "topic_type_hash": topic.type_hash,
            }
            channel = file.writer.register_channel(name, "cdr", schema, metadata)
            file.channels[name] = channel
        return channel

    def _is_full(self, file: _File, stamp_ns: int) -> bool:
        config = self._config
        if config.split_mb and file.stream.tell() >= config.split_mb * _MB:
            return True
        seconds = (stamp_ns - file.start_ns) / 1e9 if file.count else 0
        return bool(config.split_s and seconds >= config.split_s)

    def _finish_file(self, file: _File) -> None:
        file.writer.finish()
        file.stream.close()

    def _check_free_space(self) -> None:
        free = shutil.disk_usage(self.path).free
        if free < self._config.reserve_mb * _MB:
            raise self._stopped(
                f"{free // _MB} MB are left on the disk of {self.path}, less than the reserve of "
                f"{self._config.reserve_mb} MB; free some space or set reserve_mb lower"
            )

    def _disk_error(self, error: OSError) -> MxError:
        return self._stopped(f"cannot write to {self.path}: {error.strerror}; free some space")

    def _stopped(self, reason: str) -> MxError:
        """Close what can be closed; the error that says why, and what became of the recording."""
        if not self._files:
            self.path.rmdir()
            return MxError(reason)
        written = sum(topic.count for topic in self._topics.values())
        try:
            self.close()
        except MxError:
            return MxError(f"{reason}, then `./mx recover {self.path}`")
        return MxError(f"{reason}; the recording was closed after {written} messages")

    def _write_metadata(self) -> None:
        filled = [file for file in self._files if file.count]
        start_ns = min((file.start_ns for file in filled), default=0)
        end_ns = max((file.end_ns for file in filled), default=0)
        information = {
            "version": 9,
            "storage_identifier": "mcap",
            "duration": {"nanoseconds": end_ns - start_ns},
            "starting_time": {"nanoseconds_since_epoch": start_ns},
            "message_count": sum(file.count for file in self._files),
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.name,
                        "type": topic.type_name,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": [qos.to_metadata(item) for item in topic.offered],
                        "type_description_hash": topic.type_hash,
                    },
                    "message_count": topic.count,
                }
                for topic in self._topics.values()
                if topic.count
            ],
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [file.path.name for file in self._files],
            "files": [
                {
                    "path": file.path.name,
                    "starting_time": {"nanoseconds_since_epoch": file.start_ns},
                    "duration": {"nanoseconds": file.end_ns - file.start_ns},
                    "message_count": file.count,
                }
                for file in self._files
            ],
            "custom_data": None,
            "ros_distro": "mx",
        }
        partial = self.path / "metadata.yaml.partial"
        with partial.open("w") as stream:
            yaml.dump(
                {"rosbag2_bagfile_information": information}, stream, _PlainDumper, sort_keys=False
            )
        partial.replace(self.path / "metadata.yaml")


class _PlainDumper(yaml.SafeDumper):
    """No anchors: rosbag2's parser and people both read the repeated QoS profiles."""

    def ignore_aliases(self, data: object) -> bool:
        return True
