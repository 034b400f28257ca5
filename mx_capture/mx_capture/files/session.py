"""Sessions of this suite, and any rosbag2 with event packets or images, as sources."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import ReaderError

from mx_capture.errors import MxError
from mx_capture.files.ordering import in_stamp_order
from mx_capture.recording import cdr
from mx_capture.recording.annotations import read_annotations
from mx_capture.recording.message_types import typestore
from mx_capture.recording.session_info import BAG_FOLDER, DATASET_FILE
from mx_capture.stream import Frame, Label, Packet

_PREFERRED = ("/event_camera/events", "/rgb/image_raw", "/labels")
_READ = {
    "events": (cdr.PACKET_TYPE,),
    "frames": (cdr.IMAGE_TYPE, cdr.COMPRESSED_TYPE),
    "labels": (cdr.LABEL_TYPE,),
}


def bag_folder(path: Path) -> Path:
    """The rosbag2 folder of a session, or `path` itself where it is one; MxError otherwise."""
    if not path.exists():
        raise MxError(f"{path} does not exist; give the folder of a session or a rosbag2")
    bag = path / BAG_FOLDER if (path / BAG_FOLDER).is_dir() else path
    if (bag / "metadata.yaml").is_file():
        return bag
    if list(bag.glob("*.mcap")):
        raise MxError(f"{bag} was not closed; repair it by `./mx recover {path}`")
    if (path / DATASET_FILE).is_file():
        raise MxError(f"{path} is a data set; give one of the sessions in it")
    raise MxError(f"{path} is neither a session nor a rosbag2 (a folder with metadata.yaml)")


@contextmanager
def open_bag(bag: Path) -> Iterator[AnyReader]:
    """A rosbags reader; what is wrong with the bag comes out as MxError."""
    with _errors_of(bag), AnyReader([bag], default_typestore=typestore()) as reader:
        yield reader


@contextmanager
def _errors_of(bag: Path) -> Iterator[None]:
    try:
        yield
    except (AnyReaderError, ReaderError) as error:
        line = str(error).splitlines()[0]
        raise MxError(f"{bag} cannot be read: {line}; try `./mx recover {bag}`") from error
    except OSError as error:
        raise MxError(f"cannot read {bag}: {error.strerror}; check its rights") from error


class SessionSource:
    """Packets, frames and labels of a session or a rosbag2, with the labels annotated beside it.

    One topic of each kind is read: the suite's own name where there is one, else the only one.
    Raises MxError for a folder that is neither, a bag that was not closed or is damaged, several
    topics of a kind under foreign names, and a bag with neither events nor images.
    """

    def __init__(self, path: str | Path, topics: dict[str, str] | None = None) -> None:
        """`topics` chooses among several: `{"events": ..., "frames": ..., "labels": ...}`."""
        self.path = Path(path)
        self.name = self.path.resolve().name
        self.bag = bag_folder(self.path)
        self.annotations = read_annotations(self.path)
        with ExitStack() as stack:
            reader = stack.enter_context(open_bag(self.bag))
            self.topics = {kind: _choose(reader, kind, topics or {}, self.bag) for kind in _READ}
            if self.topics["events"] is None and self.topics["frames"] is None:
                known = ", ".join(sorted(reader.topics)) or "nothing"
                raise MxError(f"{self.bag} has neither event packets nor images; it holds {known}")
            self.start_ns = reader.start_time
            self.duration_ns = reader.duration
            self.event_size = self._first_size(reader, "events")
            self.frame_size = self._first_size(reader, "frames")
            # Opening takes as long as reading some seconds: the first run goes on with this reader.
            self._opened: AnyReader | None = reader
            weakref.finalize(self, stack.pop_all().close)

    def __iter__(self) -> Iterator[Packet | Frame | Label]:
        return in_stamp_order(self._messages())

    def items(
        self, kinds: Sequence[str], begin_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Packet | Frame | Label]:
        """What was recorded of some kinds (`events`, `frames`, `labels`), as it arrived.

        Only what arrived in `[begin_ns, end_ns)` of ROS time; without the annotated labels.
        """
        with open_bag(self.bag) as reader:
            for kind, connection, _, data in self._raw(reader, *kinds, span=(begin_ns, end_ns)):
                yield _item(kind, connection.msgtype, data)

    def _messages(self) -> Iterator[Packet | Frame | Label]:
        labels = sorted(self.annotations, key=lambda label: label.offset_ns)
        opened, self._opened = self._opened, None
        with _errors_of(self.bag), nullcontext(opened) if opened else open_bag(self.bag) as reader:
            for kind, connection, time_ns, data in self._raw(reader, *_READ):
                while labels and labels[0].offset_ns <= time_ns:
                    yield labels.pop(0)
                yield _item(kind, connection.msgtype, data)
        yield from labels

    def _raw(
        self, reader: AnyReader, *kinds: str, span: tuple[int | None, int | None] = (None, None)
    ) -> Iterator[tuple[str, Any, int, bytes]]:
        chosen = {self.topics[kind]: kind for kind in kinds if self.topics[kind]}
        connections = [item for item in reader.connections if item.topic in chosen]
        if not connections:
            return  # The reader would take an empty list for all topics.
        for connection, time_ns, data in reader.messages(connections, *span):
            yield chosen[connection.topic], connection, time_ns, data

    def _first_size(self, reader: AnyReader, kind: str) -> tuple[int, int] | None:
        if self.topics[kind] is None:
            return None
        for _, connection, _, data in self._raw(reader, kind):
            item = _item(kind, connection.msgtype, data)
            if isinstance(item, Packet):
                return item.height, item.width
            if isinstance(item, Frame):
                return item.image.shape[0], item.image.shape[1]
        return None


def _item(kind: str, type_name: str, data: bytes) -> Packet | Frame | Label:
    if kind == "events":
        return cdr.packet_from_cdr(data)
    if kind == "frames":
        return cdr.frame_from_cdr(data, type_name)
    return cdr.label_from_cdr(data)


def _choose(reader: AnyReader, kind: str, wanted: dict[str, str], bag: Path) -> str | None:
    """The topic to read for a kind; None where the bag has none."""
    candidates = sorted(
        {
            connection.topic
            for connection in reader.connections
            if connection.msgtype in _READ[kind] and connection.msgcount
        }
    )
    if kind in wanted:
        if wanted[kind] not in candidates:
            known = ", ".join(candidates) or "none"
            raise MxError(f"{bag} has no {kind} on {wanted[kind]!r}; topics with {kind}: {known}")
        return wanted[kind]
    preferred = [topic for topic in candidates if topic in _PREFERRED]
    if preferred or len(candidates) <= 1:
        return next(iter(preferred or candidates), None)
    raise MxError(f"{bag} has several topics with {kind} ({', '.join(candidates)}); name one")
