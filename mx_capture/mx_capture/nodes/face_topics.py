"""Faces as ROS4HRI (REP-155) names them: the list of ids, and topics for each of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hri_msgs.msg import FacialLandmarks, IdsList, NormalizedRegionOfInterest2D
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mx_capture.config import Config, setting
from mx_capture.conversions import (
    ids_to_message,
    image_to_message,
    landmarks_to_message,
    roi_to_normalized,
    time_to_ns,
)
from mx_capture.faces.alignment import cut, level_crop, upright_crop
from mx_capture.faces.landmarks import FaceLandmarks
from mx_capture.faces.tracker import TrackedFace
from mx_capture.node_setup import HUMANS_QOS, LATCHED_QOS, ManagedNode

_LOST_S = 2.0
"""A face not followed for this long never gets its id back; its topics are withdrawn."""
_SILENT_S = 1.0
"""Without images for this long, nobody knows of any face."""


@dataclass(frozen=True)
class FaceTopicsConfig(Config):
    """What is published of each face."""

    crop_size: int = setting(
        128, "Side of /humans/faces/<id>/cropped and aligned in pixels", minimum=16, maximum=1024
    )


@dataclass
class _Face:
    publishers: dict[str, Any]
    heard_s: float


class FaceTopics:
    """Publishes `/humans/faces/tracked` and, of each face, what somebody listens to.

    `pictures` False keeps `cropped`, `aligned` and `landmarks` back: what shows a face.
    """

    def __init__(self, node: ManagedNode, config: FaceTopicsConfig, pictures: bool) -> None:
        self._node, self._size = node, config.crop_size
        self._types: dict[str, Any] = {"roi": NormalizedRegionOfInterest2D}
        if pictures:
            self._types |= {"cropped": Image, "aligned": Image, "landmarks": FacialLandmarks}
            self._landmarks = FaceLandmarks()
        self._tracked: list[str] = []
        self._faces: dict[str, _Face] = {}
        self._heard_s = time.monotonic()

    def start(self) -> None:
        """Create what lives while the node is active."""
        self._faces.clear()
        self._ids = self._node.publish_to(IdsList, "/humans/faces/tracked", LATCHED_QOS)
        self._node.every(0.5, self.withdraw_lost_faces)

    def publish(
        self,
        faces: Sequence[TrackedFace],
        image: np.ndarray,
        header: Header,
        in_events: bool = False,
    ) -> None:
        """What is known of the faces in an image; pictures of faces only of RGB images."""
        self._heard_s = time.monotonic()
        self._tracked = [face.id for face in faces]
        for face in faces:
            if face.id not in self._faces:
                self._faces[face.id] = self._add_face(face.id)
            self._faces[face.id].heard_s = self._heard_s
        self._ids.publish(ids_to_message(faces, header))
        for face in faces:
            for name, publisher in self._faces[face.id].publishers.items():
                wanted = name == "roi" or not in_events
                if wanted and publisher.get_subscription_count():
                    publisher.publish(self._message(name, face, image, header))

    def withdraw_lost_faces(self) -> None:
        """Take lost faces from the list, and end their topics; also when no image comes."""
        now = time.monotonic()
        if self._tracked and now - self._heard_s > _SILENT_S:
            self._tracked = []
            self._ids.publish(IdsList(header=Header(stamp=self._node.get_clock().now().to_msg())))
        for name, face in list(self._faces.items()):
            if now - face.heard_s > _LOST_S:
                for publisher in face.publishers.values():
                    self._node.withdraw(publisher)
                del self._faces[name]

    def _add_face(self, name: str) -> _Face:
        publishers = {
            kind: self._node.publish_to(
                message_type, f"/humans/faces/{name}/{kind}", HUMANS_QOS, passing=True
            )
            for kind, message_type in self._types.items()
        }
        return _Face(publishers, self._heard_s)

    def _message(self, name: str, face: TrackedFace, image: np.ndarray, header: Header) -> Any:
        size = (image.shape[0], image.shape[1])
        if name == "roi":
            return roi_to_normalized(face.roi, face.score, size, header)
        if name == "landmarks":
            landmarks = self._landmarks.find(image, face.box, face.keypoints_px)
            return landmarks_to_message(landmarks, size, header)
        crop_to_image = (
            level_crop(face.roi, self._size)
            if name == "cropped"
            else upright_crop(face.roi, face.keypoints_px, 1.0, self._size)
        )
        crop = cut(image, crop_to_image, self._size)
        # libhri hands the pixels on without their encoding, and everybody there expects BGR.
        bgr = np.ascontiguousarray(crop[..., ::-1]) if crop.ndim == 3 else crop
        return image_to_message(bgr, time_to_ns(header.stamp), header.frame_id, "bgr8")
