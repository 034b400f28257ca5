"""Repairs recordings whose process was killed: everything readable goes into a new, closed bag."""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Message, Schema
from mcap.stream_reader import CRCValidationError, get_chunk_data_stream
from rosbags.rosbag2.metadata import parse_qos

from mx_capture.errors import MxError
from mx_capture.recording import qos
from mx_capture.recording.session_info import BAG_FOLDER
from mx_capture.recording.writer import RecordingWriter, WriterConfig

_MAGIC = b"\x89MCAP0\r\n"
_RECORD_HEADER = struct.Struct("<BQ")


@dataclass
class Recovery:
    """What a repair found."""

    bag: Path
    intact: bool = False
    """True when the recording was closed properly and nothing was done."""
    original: Path | None = None
    """Where the damaged bag is kept."""
    messages: dict[str, int] = field(default_factory=dict)
    """Messages in the repaired bag, by topic."""
    unreadable_bytes: int = 0
    """Bytes that hold no whole message: the tail that was being written, or damaged chunks."""


def recover(path: str | Path, progress: Callable[[int], None] | None = None) -> Recovery:
    """Repair the bag of a session, or a bag, in place; the damaged one is kept as `*.damaged`.

    `progress` is called with the bytes read so far. Raises MxError when there is no mcap file,
    none holds a readable message, or the disk lacks the space for a copy.
    """
    bag = _bag_of(Path(path))
    files = sorted(bag.glob("*.mcap"), key=_file_number)
    if not files:
        raise MxError(f"{bag} holds no .mcap file; only mcap recordings can be repaired")
    if (bag / "metadata.yaml").is_file() and all(map(_is_closed, files)):
        return Recovery(bag, intact=True)
    _check_space(bag, files)
    repaired, original = bag.with_name(bag.name + ".repaired"), _free_name(bag)
    # Left by a repair that was itself cut short; the damaged bag is still in its place.
    shutil.rmtree(repaired, ignore_errors=True)
    report = Recovery(bag, original=original)
    with RecordingWriter(repaired, WriterConfig(flush_s=0, reserve_mb=0), name=bag.name) as writer:
        done = 0
        for number, file in enumerate(files):
            if number:
                writer.split()
            for schema, channel, message in _messages(file, report):
                offered = qos.from_rosbags(
                    parse_qos(channel.metadata.get("offered_qos_profiles", ""))
                )
                writer.add_topic(channel.topic, schema.name, offered, schema.data.decode())
                writer.write(channel.topic, schema.name, message.log_time, message.data)
            done += file.stat().st_size
            if progress is not None:
                progress(done)
    report.messages = writer.counts
    if not report.messages:
        shutil.rmtree(repaired)
        raise MxError(f"{bag} holds no readable message; the recording is lost")
    bag.rename(original)
    repaired.rename(bag)
    return report


def _messages(path: Path, report: Recovery) -> Iterator[tuple[Schema, Channel, Message]]:
    """All whole messages of a file, however it ends."""
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    for record in _records(path, report):
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif record.channel_id in channels:
            channel = channels[record.channel_id]
            if channel.schema_id in schemas:
                yield schemas[channel.schema_id], channel, record


def _records(path: Path, report: Recovery) -> Iterator[Schema | Channel | Message]:
    """Schemas, channels and messages of a file, inside chunks and outside of them."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise MxError(f"{path} is no mcap file; remove it from the recording")
        while header := file.read(_RECORD_HEADER.size):
            if len(header) < _RECORD_HEADER.size:
                report.unreadable_bytes += len(header)
                return
            opcode, length = _RECORD_HEADER.unpack(header)
            if opcode == Opcode.DATA_END:
                return
            body = file.read(length)
            if len(body) < length:
                if opcode == Opcode.CHUNK:
                    yield from _cut_chunk(body, report)
                else:
                    report.unreadable_bytes += len(body)
                return
            if opcode == Opcode.CHUNK:
                yield from _chunk(path, body, report)
            elif (record := _record(opcode, body)) is not None:
                yield record


def _chunk(path: Path, body: bytes, report: Recovery) -> Iterator[Schema | Channel | Message]:
    try:
        chunk = Chunk.read(ReadDataStream(BytesIO(body)))
        stream, length = get_chunk_data_stream(chunk, validate_crc=True)
        data = stream.read(length)
    except CRCValidationError:
        report.unreadable_bytes += len(body)
        return
    except McapError as error:
        raise MxError(f"{path} is compressed ({error}); `pip install zstandard`") from error
    yield from _inner(data, report)


def _cut_chunk(body: bytes, report: Recovery) -> Iterator[Schema | Channel | Message]:
    """The whole messages in a chunk that was being written; only without compression."""
    fixed = 8 + 8 + 8 + 4
    (name_length,) = struct.unpack_from("<I", body.ljust(fixed + 4, b"\0"), fixed)
    begin = fixed + 4 + name_length + 8
    if name_length or len(body) <= begin:
        report.unreadable_bytes += len(body)
        return
    yield from _inner(body[begin:], report)


def _inner(data: bytes, report: Recovery) -> Iterator[Schema | Channel | Message]:
    position = 0
    while position + _RECORD_HEADER.size <= len(data):
        opcode, length = _RECORD_HEADER.unpack_from(data, position)
        end = position + _RECORD_HEADER.size + length
        if end > len(data):
            break
        record = _record(opcode, data[position + _RECORD_HEADER.size : end])
        if record is not None:
            yield record
        position = end
    report.unreadable_bytes += len(data) - position


def _record(opcode: int, body: bytes) -> Schema | Channel | Message | None:
    stream = ReadDataStream(BytesIO(body))
    if opcode == Opcode.SCHEMA:
        return Schema.read(stream)
    if opcode == Opcode.CHANNEL:
        return Channel.read(stream)
    if opcode == Opcode.MESSAGE:
        return Message.read(stream, len(body))
    return None


def _bag_of(path: Path) -> Path:
    if not path.exists():
        raise MxError(f"{path} does not exist; give the folder of a session or a recording")
    if path.is_file():
        if path.suffix != ".mcap":
            raise MxError(f"{path} is no .mcap file; give the folder of a session or a recording")
        return path.parent
    return path / BAG_FOLDER if (path / BAG_FOLDER).is_dir() else path


def _is_closed(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, 2)
        if file.tell() < 2 * len(_MAGIC):
            return False
        file.seek(-len(_MAGIC), 2)
        return file.read() == _MAGIC


def _file_number(path: Path) -> tuple[int, str]:
    """Files of a split recording in their order: `name_2` before `name_10`."""
    match = re.search(r"_(\d+)$", path.stem)
    return int(match[1]) if match else 0, path.name


def _check_space(bag: Path, files: list[Path]) -> None:
    needed = sum(file.stat().st_size for file in files)
    free = shutil.disk_usage(bag).free
    if free < needed:
        raise MxError(
            f"repairing {bag} needs {needed // 1_000_000} MB, and {free // 1_000_000} MB are left "
            "on its disk; free some space"
        )


def _free_name(bag: Path) -> Path:
    names = (bag.with_name(f"{bag.name}.damaged{suffix}") for suffix in ("", *range(2, 1000)))
    return next(name for name in names if not name.exists())
