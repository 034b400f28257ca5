"""Writes any source as a session: the bag, and session.yaml beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mx_capture.recording import cdr, qos
from mx_capture.recording.session_info import (
    BAG_FOLDER,
    SESSION_FILE,
    SessionInfo,
    with_cameras,
    write_info,
)
from mx_capture.recording.writer import RecordingWriter, WriterConfig
from mx_capture.stream import EVENT_FRAME, RGB_FRAME, Frame, Label, Packet, Source

EVENTS_TOPIC = "/event_camera/events"
IMAGE_TOPIC = "/rgb/image_raw"
CAMERA_INFO_TOPIC = "/rgb/camera_info"
LABELS_TOPIC = "/labels"


def write_session(
    source: Source,
    folder: str | Path,
    info: SessionInfo,
    *,
    progress: Callable[[int], None] | None = None,
    config: WriterConfig | None = None,
) -> dict[str, int]:
    """Write all of `source` into the new session `folder`; returns messages by topic.

    The bytes depend on the source and `config` alone. `progress` is called with the stamp in ns
    of each item. Raises MxError when the folder exists or the disk is full.
    """
    folder = Path(folder)
    with RecordingWriter(folder / BAG_FOLDER, config or WriterConfig(flush_s=0)) as writer:
        for item in source:
            write_item(writer, item)
            if progress is not None:
                progress(item.offset_ns if isinstance(item, Label) else item.stamp_ns)
    # Last, so that a folder with a session.yaml is a complete session.
    write_info(folder / SESSION_FILE, with_cameras(info, source))
    return writer.counts


def write_item(writer: RecordingWriter, item: Packet | Frame | Label) -> None:
    """Write one item as the message that a camera node would publish; a frame with its info."""
    if isinstance(item, Packet):
        writer.add_topic(EVENTS_TOPIC, cdr.PACKET_TYPE, (qos.EVENTS,))
        message = cdr.packet_to_cdr(item, EVENT_FRAME)
        writer.write(EVENTS_TOPIC, cdr.PACKET_TYPE, item.stamp_ns, message)
    elif isinstance(item, Frame):
        writer.add_topic(IMAGE_TOPIC, cdr.IMAGE_TYPE, (qos.IMAGES,))
        writer.add_topic(CAMERA_INFO_TOPIC, cdr.CAMERA_INFO_TYPE, (qos.IMAGES,))
        message = cdr.frame_to_cdr(item, RGB_FRAME)
        writer.write(IMAGE_TOPIC, cdr.IMAGE_TYPE, item.stamp_ns, message)
        size = (item.image.shape[0], item.image.shape[1])
        message = cdr.camera_info_to_cdr(size, item.stamp_ns, RGB_FRAME)
        writer.write(CAMERA_INFO_TOPIC, cdr.CAMERA_INFO_TYPE, item.stamp_ns, message)
    else:
        writer.add_topic(LABELS_TOPIC, cdr.LABEL_TYPE, (qos.LABELS,))
        message = cdr.label_to_cdr(item, RGB_FRAME)
        writer.write(LABELS_TOPIC, cdr.LABEL_TYPE, item.offset_ns, message)
