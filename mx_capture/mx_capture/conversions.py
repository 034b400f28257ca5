"""Messages become arrays, and arrays messages: the only place of this package that does it."""

from __future__ import annotations

import array
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from cv_bridge import CvBridge, CvBridgeError
from event_camera_msgs.msg import EventPacket
from hri_msgs.msg import (
    FacialLandmarks,
    IdsList,
    NormalizedPointOfInterest2D,
    NormalizedRegionOfInterest2D,
)
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest
from std_msgs.msg import Header

from mx_capture.errors import MxError
from mx_capture.roi import Roi
from mx_capture.stream import Frame, Label, Packet
from mx_msgs import msg as mx

if TYPE_CHECKING:
    # What they need in turn would take 100 MB in nodes that only convert messages.
    from mx_capture.event_tensor import EventTensor
    from mx_capture.faces.landmarks import Landmarks
    from mx_capture.faces.tracker import TrackedFace

_BRIDGE = CvBridge()


def time_to_ns(stamp: Time) -> int:
    """ROS time in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def ns_to_time(stamp_ns: int) -> Time:
    """The message of a ROS time in nanoseconds."""
    sec, nanosec = divmod(int(stamp_ns), 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def packet_to_message(packet: Packet, frame_id: str) -> EventPacket:
    """An EventPacket; its bytes are copied once."""
    message = EventPacket(
        height=packet.height,
        width=packet.width,
        seq=packet.seq,
        time_base=packet.time_base,
        encoding=packet.encoding,
        is_bigendian=False,
        events=array.array("B", packet.events),
    )
    message.header.stamp = ns_to_time(packet.stamp_ns)
    message.header.frame_id = frame_id
    return message


def message_to_packet(message: EventPacket) -> Packet:
    """A Packet whose bytes are the message's own memory."""
    return Packet(
        stamp_ns=time_to_ns(message.header.stamp),
        seq=message.seq,
        encoding=message.encoding,
        height=message.height,
        width=message.width,
        time_base=message.time_base,
        events=memoryview(message.events),
    )


def image_to_message(
    image: np.ndarray, stamp_ns: int, frame_id: str, colours: str = "rgb8"
) -> Image:
    """`(H, W, 3) uint8` in this order of colours, or `(H, W) uint8`, which becomes mono8."""
    message = _BRIDGE.cv2_to_imgmsg(image, encoding="mono8" if image.ndim == 2 else colours)
    message.header.stamp = ns_to_time(stamp_ns)
    message.header.frame_id = frame_id
    return message


def message_to_frame(message: Image) -> Frame:
    """A Frame in RGB order, or grey where the camera is grey. Raises MxError for depth images."""
    grey = message.encoding.startswith("mono")
    wanted = "8UC1" if message.encoding == "8UC1" else "mono8" if grey else "rgb8"
    try:
        image = _BRIDGE.imgmsg_to_cv2(message, desired_encoding=wanted)
    except CvBridgeError as error:
        raise MxError(f"image encoding {message.encoding!r} is not usable: {error}") from error
    return Frame(time_to_ns(message.header.stamp), image)


def camera_info(size: tuple[int, int], stamp_ns: int, frame_id: str) -> CameraInfo:
    """An uncalibrated CameraInfo (K is zero, as the standard says) of `(height, width)`."""
    message = CameraInfo(height=size[0], width=size[1], distortion_model="plumb_bob")
    message.header.stamp = ns_to_time(stamp_ns)
    message.header.frame_id = frame_id
    return message


def faces_to_message(faces: Sequence[TrackedFace], stamp_ns: int, frame_id: str) -> mx.Faces:
    """Faces in pixels of the image that they were found in."""
    message = mx.Faces(faces=[_face_to_message(face) for face in faces])
    message.header.stamp = ns_to_time(stamp_ns)
    message.header.frame_id = frame_id
    return message


def _face_to_message(face: TrackedFace) -> mx.Face:
    return mx.Face(
        id=face.id,
        roi=roi_to_message(face.roi),
        score=float(face.score),
        keypoints_px=np.asarray(face.keypoints_px, np.float32).ravel().tolist(),
    )


def message_to_rois(message: mx.Faces) -> dict[str, Roi]:
    """Face boxes by id."""
    return {face.id: message_to_roi(face.roi) for face in message.faces}


def roi_to_message(roi: Roi) -> RegionOfInterest:
    """Whole pixels; what lies above or left of the image cannot be said in this message."""
    left, top = max(0, round(roi.x)), max(0, round(roi.y))
    right, bottom = max(left, round(roi.x + roi.width)), max(top, round(roi.y + roi.height))
    return RegionOfInterest(x_offset=left, y_offset=top, width=right - left, height=bottom - top)


def message_to_roi(message: RegionOfInterest) -> Roi:
    """A box in pixels."""
    return Roi(
        float(message.x_offset),
        float(message.y_offset),
        float(message.width),
        float(message.height),
    )


def ids_to_message(faces: Sequence[TrackedFace], header: Header) -> IdsList:
    """REP-155: the ids of all faces that are followed now."""
    return IdsList(header=header, ids=[face.id for face in faces])


def roi_to_normalized(
    roi: Roi, score: float, size: tuple[int, int], header: Header
) -> NormalizedRegionOfInterest2D:
    """REP-155: a box as shares of an image of `size` (height, width), 0..1."""
    part = roi.clipped(*size).scaled(1 / size[1], 1 / size[0])
    return NormalizedRegionOfInterest2D(
        header=header,
        xmin=part.x,
        ymin=part.y,
        xmax=min(part.x + part.width, 1.0),
        ymax=min(part.y + part.height, 1.0),
        c=min(max(score, 0.0), 1.0),
    )


def landmarks_to_message(
    landmarks: Landmarks, size: tuple[int, int], header: Header
) -> FacialLandmarks:
    """REP-155: 70 points as shares of an image of `size` (height, width)."""
    points = landmarks.rep155_px() / np.array((size[1], size[0]), np.float32)
    return FacialLandmarks(
        header=header,
        landmarks=[
            NormalizedPointOfInterest2D(x=x, y=y, c=landmarks.score) for x, y in points.tolist()
        ],
        height=size[0],
        width=size[1],
    )


def tensor_to_message(
    tensor: EventTensor, start_ns: int, end_ns: int, frame_id: str
) -> mx.EventTensor:
    """An EventTensor stamped with the end of its window in ROS time."""
    bins, polarities, height, width = tensor.data.shape
    message = mx.EventTensor(
        face_id=tensor.face_id,
        seq=tensor.seq,
        window_start=ns_to_time(start_ns),
        bins=bins,
        polarities=polarities,
        height=height,
        width=width,
        roi=roi_to_message(tensor.roi),
        events=tensor.events,
        saturated=tensor.saturated,
        discontinuity=tensor.discontinuity,
        data=array.array("B", tensor.data.tobytes()),
    )
    message.header.stamp = ns_to_time(end_ns)
    message.header.frame_id = frame_id
    return message


def message_class(type_name: str, topic: str) -> Any:
    """The class of "package/msg/Name"; MxError, naming the topic, when it is not installed."""
    package, _, name = type_name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise MxError(
            f"{topic} is of type {type_name}, which is not installed; install {package}, or "
            "choose other topics with --topics"
        ) from error


def message_to_histogram(message: mx.EventTensor) -> np.ndarray:
    """The event histogram `(T, P, H, W) uint8` of an EventTensor; MxError when it holds none."""
    shape = (message.bins, message.polarities, message.height, message.width)
    try:
        return np.frombuffer(message.data, np.uint8).reshape(shape)
    except ValueError as error:
        raise MxError(
            f"event tensor of face {message.face_id} is {shape} but has {len(message.data)} bytes; "
            "look who else publishes event tensors"
        ) from error


def label_to_message(label: Label, frame_id: str) -> mx.Label:
    """A Label stamped with its offset, when all of it is known."""
    message = mx.Label(
        subject=label.subject,
        au=list(label.au),
        intensity=list(label.intensity),
        onset=ns_to_time(label.onset_ns),
        apex=ns_to_time(label.apex_ns),
        offset=ns_to_time(label.offset_ns),
        source=label.source,
        condition=label.condition,
    )
    message.header.stamp = ns_to_time(label.offset_ns)
    message.header.frame_id = frame_id
    return message


def message_to_label(message: mx.Label) -> Label:
    """A Label; its times are ROS time."""
    return Label(
        subject=message.subject,
        au=tuple(message.au),
        intensity=tuple(message.intensity),
        onset_ns=time_to_ns(message.onset),
        apex_ns=time_to_ns(message.apex),
        offset_ns=time_to_ns(message.offset),
        source=message.source,
        condition=message.condition,
    )
