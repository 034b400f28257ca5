"""Packets, frames and labels to and from CDR bytes, without ROS."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from rosbags.image import ImageError, message_to_cvimage

from mx_capture.errors import MxError
from mx_capture.recording.annotations import check_action_units
from mx_capture.recording.message_types import ensure_type, typestore
from mx_capture.stream import Frame, Label, Packet

PACKET_TYPE = "event_camera_msgs/msg/EventPacket"
IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
LABEL_TYPE = "mx_msgs/msg/Label"

_NS_PER_S = 1_000_000_000
_LITTLE_ENDIAN = b"\x00\x01"


def packet_to_cdr(packet: Packet, frame_id: str) -> bytes:
    """An EventPacket with `header.stamp` = `packet.stamp_ns`."""
    return _serialize(
        PACKET_TYPE,
        header=_header(packet.stamp_ns, frame_id),
        height=packet.height,
        width=packet.width,
        seq=packet.seq,
        time_base=packet.time_base,
        encoding=packet.encoding,
        is_bigendian=False,
        events=np.frombuffer(packet.events, np.uint8),
    )


def frame_to_cdr(frame: Frame, frame_id: str) -> bytes:
    """An Image, rgb8 or mono8."""
    image = np.ascontiguousarray(frame.image)
    return _serialize(
        IMAGE_TYPE,
        header=_header(frame.stamp_ns, frame_id),
        height=image.shape[0],
        width=image.shape[1],
        encoding="mono8" if image.ndim == 2 else "rgb8",
        is_bigendian=0,
        step=image.strides[0],
        data=image.reshape(-1),
    )


def label_to_cdr(label: Label, frame_id: str) -> bytes:
    """An mx_msgs/Label, stamped with its offset."""
    return _serialize(
        LABEL_TYPE,
        header=_header(label.offset_ns, frame_id),
        subject=label.subject,
        au=np.array(label.au, np.uint8),
        intensity=np.array(label.intensity, np.float32),
        onset=_time(label.onset_ns),
        apex=_time(label.apex_ns),
        offset=_time(label.offset_ns),
        source=label.source,
        condition=label.condition,
    )


def camera_info_to_cdr(
    size: tuple[int, int],
    stamp_ns: int,
    frame_id: str,
    matrix: np.ndarray | None = None,
    distortion: np.ndarray | None = None,
) -> bytes:
    """A CameraInfo of `(height, width)`; without `matrix` uncalibrated, which is all zeros.

    `matrix`: `(3, 3)` in pixels; `distortion`: `(5,)` of the plumb_bob model.
    """
    intrinsic = np.zeros((3, 3)) if matrix is None else np.asarray(matrix, np.float64)
    projection = np.zeros((3, 4))
    projection[:, :3] = intrinsic
    region = _make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0,
                   do_rectify=False)  # fmt: skip
    return _serialize(
        CAMERA_INFO_TYPE,
        header=_header(stamp_ns, frame_id),
        height=size[0],
        width=size[1],
        distortion_model="plumb_bob",
        d=np.zeros(5) if distortion is None else np.asarray(distortion, np.float64),
        k=intrinsic.reshape(9),
        r=np.zeros(9) if matrix is None else np.eye(3).reshape(9),
        p=projection.reshape(12),
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def string_to_cdr(text: str) -> bytes:
    """A std_msgs/String."""
    return _serialize("std_msgs/msg/String", data=text)


def packet_from_cdr(cdr: bytes) -> Packet:
    """The Packet of an EventPacket."""
    packet = _usual_packet(cdr)
    if packet is not None:
        return packet
    message = read_message(cdr, PACKET_TYPE)
    return Packet(
        stamp_ns=stamp_ns(message.header.stamp),
        seq=message.seq,
        encoding=message.encoding,
        height=message.height,
        width=message.width,
        time_base=message.time_base,
        events=message.events.tobytes(),
    )


def frame_from_cdr(cdr: bytes, type_name: str = IMAGE_TYPE) -> Frame:
    """The Frame of an Image or CompressedImage, in RGB order or grey, 8 bits.

    Raises MxError for an image that cannot be read, with its encoding and size.
    """
    message = read_message(cdr, type_name)
    if type_name == COMPRESSED_TYPE:
        # OpenCV returns None for foreign bytes, but raises an error where there are none.
        image = cv2.imdecode(message.data, cv2.IMREAD_COLOR) if message.data.size else None
        if image is None:
            raise MxError(
                f"a {type_name} holds no readable {message.format} image; record it again"
            )
        return Frame(stamp_ns(message.header.stamp), cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    return Frame(stamp_ns(message.header.stamp), _image(message))


def label_from_cdr(cdr: bytes) -> Label:
    """The Label of an mx_msgs/Label; MxError unless each Action Unit has an intensity in 0..1."""
    message = read_message(cdr, LABEL_TYPE)
    au = tuple(int(number) for number in message.au)
    intensity = tuple(round(float(value), 6) for value in message.intensity)
    onset_ns = stamp_ns(message.onset)
    check_action_units(au, intensity, f"the {LABEL_TYPE} with its onset at {onset_ns} ns")
    return Label(
        subject=message.subject,
        au=au,
        intensity=intensity,
        onset_ns=onset_ns,
        apex_ns=stamp_ns(message.apex),
        offset_ns=stamp_ns(message.offset),
        source=message.source,
        condition=message.condition,
    )


def read_message(cdr: bytes, type_name: str) -> Any:
    """A message with the fields of its type; raises MxError when the bytes do not fit it."""
    ensure_type(type_name)
    try:
        return typestore().deserialize_cdr(cdr, type_name)
    except Exception as error:  # The generated parsers raise whatever slicing foreign bytes gives.
        raise MxError(f"a message is no valid {type_name}; the recording is damaged") from error


def stamp_ns(time: Any) -> int:
    """Nanoseconds of a builtin_interfaces/Time."""
    return int(time.sec) * _NS_PER_S + int(time.nanosec)


def _usual_packet(cdr: bytes) -> Packet | None:
    """As `packet_from_cdr`, of what is written here; None of anything else.

    There are hundreds of packets a second, and a parser for any message takes ten times as long.
    """
    try:
        sec, nanosec, length = struct.unpack_from("<iII", cdr, 4)
        # Fields begin at multiples of their size, counted from behind the first 4 bytes.
        at = -(-(12 + length) // 4) * 4
        height, width = struct.unpack_from("<II", cdr, 4 + at)
        at = -(-(at + 8) // 8) * 8
        seq, time_base, length = struct.unpack_from("<QQI", cdr, 4 + at)
        at += 20 + length
        encoding = str(cdr[4 + at - length : 4 + at - 1], "ascii")
        at = -(-(at + 1) // 4) * 4
        (size,) = struct.unpack_from("<I", cdr, 4 + at)
    except (struct.error, UnicodeDecodeError):
        return None
    begin = 8 + at
    if bytes(cdr[:2]) != _LITTLE_ENDIAN or begin + size != len(cdr):
        return None
    stamp = sec * _NS_PER_S + nanosec
    return Packet(stamp, seq, encoding, height, width, time_base, bytes(cdr[begin:]))


def _image(message: Any) -> np.ndarray:
    """The pixels of an Image, `(H, W, 3)` or `(H, W) uint8`."""
    grey = message.encoding.startswith(("mono", "8UC1", "16UC1"))
    try:
        image = message_to_cvimage(message, "mono8" if grey else "rgb8")
    except (ImageError, cv2.error, TypeError, ValueError) as error:
        raise _unreadable(message) from error
    # Encodings with colours below the picture may come out with fewer rows.
    if image.shape[:2] != (message.height, message.width) or not image.size:
        raise _unreadable(message)
    return image


def _unreadable(message: Any) -> MxError:
    return MxError(
        f"an {IMAGE_TYPE} of {message.width}x{message.height} in encoding {message.encoding!r} "
        f"with {len(message.data)} bytes cannot be read; record it again as rgb8 or mono8"
    )


def _serialize(type_name: str, **fields: Any) -> bytes:
    return bytes(typestore().serialize_cdr(_make(type_name, **fields), type_name))


def _make(type_name: str, **fields: Any) -> Any:
    ensure_type(type_name)
    return typestore().types[type_name](**fields)


def _time(value_ns: int) -> Any:
    sec, nanosec = divmod(value_ns, _NS_PER_S)
    return _make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)


def _header(value_ns: int, frame_id: str) -> Any:
    return _make("std_msgs/msg/Header", stamp=_time(value_ns), frame_id=frame_id)
