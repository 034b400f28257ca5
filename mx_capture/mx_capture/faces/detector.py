"""Face detection with BlazeFace (Bazarevsky et al. 2019) through OpenCV's dnn module."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from mx_capture.faces.follower import Follower
from mx_capture.layout import MAX_FACES
from mx_capture.roi import Roi

MODEL = Path(__file__).parent.parent / "data" / "blaze_face_short_range.tflite"
KEYPOINTS = ("right_eye", "left_eye", "nose_tip", "mouth", "right_ear", "left_ear")
"""The subject's right and left: the right eye is the one further left in an image."""

_INPUT = 128
_SMALLEST_SHARE = 0.15
"""A face narrower than this share of the model's view is often missed (measured: 0.14)."""
_TILE_RATIO = 4.0
"""Sides of successive tile sizes; the model finds faces of 0.15 to 0.9 of its view."""
_OVERLAP = 0.3
"""Boxes with a larger intersection over union show one face."""
_KEEP = 0.75
"""Share of the threshold that keeps a face of the image before: weak moments do not lose it."""
_VIEW_PER_FACE = 2.5
"""Side of the view around a known face, in face widths: the boxes are steadiest there."""
_LOOKS = 4
"""Images in a row in which the model sees a new face before it is only followed."""
_SEARCH_IMAGES = 30
"""In about so many images, every place is searched for further faces."""


@dataclass(frozen=True)
class FaceDetectorConfig(Config):
    """What counts as a face, and how much is spent on looking for small ones."""

    threshold: float = setting(
        0.65, "Score (0..1) from which on something new is a face", minimum=0.05, maximum=1.0
    )
    smallest_face_px: int = setting(
        36, "Width of the smallest face that is looked for, in pixels", minimum=8
    )
    max_faces: int = setting(8, "Faces kept in an image, best first", minimum=1, maximum=MAX_FACES)
    refresh_images: int = setting(
        15,
        "Images after which a face that is followed is looked for anew; 1 looks in every image",
        minimum=1,
    )


@dataclass(frozen=True)
class Detection:
    """One face. `keypoints_px`: (6, 2) float32, x and y in image pixels, in `KEYPOINTS` order."""

    roi: Roi
    score: float
    keypoints_px: np.ndarray


@dataclass
class _Known:
    """A face of the image before, how it looked when the model saw it last, and since when."""

    face: Detection
    seen: Detection
    follower: Follower
    looks: int
    images: int = 0


class FaceDetector:
    """Finds faces in a stream of images.

    A face that is known is followed (see `Follower`); the model looks closely around it while it
    is new, when it is lost, and every `refresh_images`. In search of others, images are seen
    whole, or every other time in one of the square tiles in which faces are looked for that are
    too small for the whole view; both in every image while no face is known, otherwise as often
    as it takes to find a new face at 2 m within a second (640 x 480 has 12 tiles). So no image
    waits for all tiles at once. `search` looks everywhere in a single image.
    """

    def __init__(self, config: FaceDetectorConfig = FaceDetectorConfig()) -> None:
        self.config = config
        self._net = _load_model()
        self._anchors = _anchors()
        self._known: list[_Known] = []
        self._turn = self._tile = self._unsearched = 0

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Faces in `(H, W, 3)` RGB or `(H, W)` grey uint8 of any size, best first.

        Raises MxError for an image of another type or shape.
        """
        check_image(image)
        followed, views = [], []
        for known in self._known:
            if self._follow(known, image):
                followed.append(known)
            else:
                views.append(_view_around(known.face.roi))
        return self._look(image, views + self._search_views(image), followed)

    def search(self, image: np.ndarray) -> list[Detection]:
        """As `detect`, in every tile of one image: slower, and independent of other images."""
        check_image(image)
        height, width = image.shape[:2]
        tiles = _tiles(height, width, self.config.smallest_face_px)
        faces = self._look(image, [*tiles, _whole(height, width)], [])
        views = [_view_around(face.roi) for face in faces]
        return self._look(image, [*views, _whole(height, width)], [])

    def forget(self) -> None:
        """Start afresh, for a stream of other images."""
        self._known = []
        self._turn = self._tile = self._unsearched = 0

    def _follow(self, known: _Known, image: np.ndarray) -> bool:
        """Move a known face to where it is now; False where the model has to look."""
        known.images += 1
        if known.looks < _LOOKS or known.images >= self.config.refresh_images:
            return False
        shift = known.follower.shift(image)
        if shift is None:
            return False
        seen, (right, down) = known.seen, map(float, shift)
        roi = replace(seen.roi, x=seen.roi.x + right, y=seen.roi.y + down)
        known.face = replace(seen, roi=roi, keypoints_px=seen.keypoints_px + shift)
        return True

    def _search_views(self, image: np.ndarray) -> list[Roi]:
        """Where to look for faces that are not known yet, in this image; often nowhere."""
        height, width = image.shape[:2]
        tiles = _tiles(height, width, self.config.smallest_face_px)
        self._unsearched += 1
        wait = min(self.config.refresh_images, _SEARCH_IMAGES // (2 * len(tiles) or 1))
        if self._known and self._unsearched < wait:
            return []
        self._unsearched = 0
        views = []
        closer = bool(tiles) and (self._turn % 2 == 1 or not self._known)
        if closer:
            views.append(tiles[self._tile % len(tiles)])
            self._tile += 1
        if not closer or not self._known:
            views.append(_whole(height, width))
        self._turn += 1
        return views

    def _look(self, image: np.ndarray, views: list[Roi], followed: list[_Known]) -> list[Detection]:
        # A closer view is more exact: its faces come first and displace those of wider ones.
        before = [known.face for known in self._known]
        kept = [known.face for known in followed]
        found: list[Detection] = []
        for view in sorted(map(_square, views), key=lambda roi: roi.width):
            for face in self._pass(image, view):
                sure = face.score >= self.config.threshold or _same_as_one(face, before)
                new = not _same_as_one(face, kept + found)
                if sure and new and _complete(face.roi, view, image):
                    found.append(face)
        self._known = followed + [
            _Known(face, face, Follower(image, face.roi), self._looks_at(face)) for face in found
        ]
        self._known.sort(key=lambda known: -known.face.score)
        del self._known[self.config.max_faces :]
        return [known.face for known in self._known]

    def _looks_at(self, face: Detection) -> int:
        """In how many images in a row the model or the follower has seen it, this one included."""
        same = [known.looks for known in self._known if _same_as_one(face, [known.face])]
        return 1 + max(same, default=0)

    def _pass(self, image: np.ndarray, view: Roi) -> list[Detection]:
        """One run of the model on a square view of the image, which may exceed it."""
        self._net.setInput(_blob(image, view))
        scores, boxes = self._net.forward(("classificators", "regressors"))
        scores = 1.0 / (1.0 + np.exp(-np.clip(scores.reshape(-1), -80.0, 80.0)))
        keep = np.flatnonzero(scores >= self.config.threshold * _KEEP)
        # Per anchor: centre x, y and size of the box, then 6 keypoints, in input pixels.
        points = np.array(boxes, np.float32).reshape(-1, 8, 2)[keep]
        points[:, 0] += self._anchors[keep]
        points[:, 2:] += self._anchors[keep, None]
        scale, origin = view.width / _INPUT, np.array([view.x, view.y], np.float32)
        faces = _merge(points * np.float32(scale), scores[keep])
        return [
            Detection(
                Roi(*map(float, (*(mean[0] - mean[1] / 2 + origin), *mean[1]))),
                score,
                mean[2:] + origin,
            )
            for mean, score in faces
        ]


def _load_model() -> cv2.dnn.Net:
    if not hasattr(cv2.dnn, "readNetFromTFLite"):
        raise MxError(f"OpenCV {cv2.__version__} reads no TFLite models; install 4.7 or newer")
    return cv2.dnn.readNetFromTFLite(str(MODEL))


def _anchors() -> np.ndarray:
    """Anchor centres in input pixels, (896, 2) float32: the model's fixed scheme.

    2 anchors in each cell of 16 x 16, then 6 in each cell of 8 x 8, all of unit size.
    """
    centers = []
    for cells, per_cell in ((16, 2), (8, 6)):
        axis = (np.arange(cells, dtype=np.float32) + 0.5) * (_INPUT / cells)
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        centers.append(np.repeat(grid, per_cell, axis=0))
    return np.concatenate(centers)


def check_image(image: np.ndarray) -> None:
    """MxError unless it is `(H, W, 3)` or `(H, W)` uint8 with at least one pixel."""
    good = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not good or image.size == 0:
        raise MxError(
            f"image of shape {image.shape} and type {image.dtype}: "
            "give uint8, (height, width) grey or (height, width, 3) RGB"
        )


def _whole(height: int, width: int) -> Roi:
    side = float(max(height, width))
    return Roi((width - side) / 2, (height - side) / 2, side, side)


@cache
def _tiles(height: int, width: int, smallest_px: int) -> tuple[Roi, ...]:
    """Overlapping square views for faces down to `smallest_px`; empty if the whole image does.

    Their sides fall geometrically by at most `_TILE_RATIO`, so that every size is covered.
    """
    full, least = float(max(height, width)), smallest_px / _SMALLEST_SHARE
    levels = max(0, int(np.ceil(np.log(full / least) / np.log(_TILE_RATIO))))
    views = []
    for level in range(1, levels + 1):
        side = min(full * (least / full) ** (level / levels), height, width)
        # Neighbours share a third, so that a small face lies wholly inside one of them.
        columns, rows = (
            np.linspace(0, length - side, 1 + int(np.ceil((length - side) / (side * 2 / 3))))
            for length in (width, height)
        )
        views += [Roi(float(x), float(y), side, side) for y in rows for x in columns]
    return tuple(views)


def _view_around(face: Roi) -> Roi:
    side = _VIEW_PER_FACE * face.width
    center_x, center_y = face.center
    return Roi(center_x - side / 2, center_y - side / 2, side, side)


def _square(view: Roi) -> Roi:
    """The view in whole pixels, so that it can be cut without resampling."""
    side = max(1, round(view.width))
    return Roi(round(view.x), round(view.y), side, side)


def _blob(image: np.ndarray, view: Roi) -> np.ndarray:
    """A whole-pixel view as input, (1, 3, 128, 128) in -1..1; black beyond the image."""
    part = view.clipped(*image.shape[:2])
    left, top = int(part.x), int(part.y)
    right, bottom = left + int(part.width), top + int(part.height)
    x, y, side = int(view.x), int(view.y), int(view.width)
    square = cv2.copyMakeBorder(
        image[top:bottom, left:right],
        *(top - y, y + side - bottom, left - x, x + side - right),
        borderType=cv2.BORDER_CONSTANT,
    )
    # Averaging over areas leaves no aliases when shrinking; it cannot enlarge.
    method = cv2.INTER_AREA if side > _INPUT else cv2.INTER_LINEAR
    small = cv2.resize(square, (_INPUT, _INPUT), interpolation=method)
    if small.ndim == 2:
        small = cv2.cvtColor(small, cv2.COLOR_GRAY2RGB)
    return cv2.dnn.blobFromImage(small, 1 / 127.5, mean=(127.5, 127.5, 127.5))


def _merge(points: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Non-maximum suppression that averages, by score, what it suppresses.

    `points` is (N, 8, 2): centre, size, keypoints. Averaging steadies the boxes (see the paper).
    """
    corners, sizes = points[:, 0] - points[:, 1] / 2, points[:, 1]
    remaining = np.argsort(-scores, kind="stable")
    merged = []
    while len(remaining):
        best = remaining[0]
        lower = np.maximum(corners[remaining], corners[best])
        upper = np.minimum((corners + sizes)[remaining], corners[best] + sizes[best])
        common = np.prod(np.maximum(upper - lower, 0.0), axis=1)
        union = np.prod(sizes[remaining], axis=1) + np.prod(sizes[best]) - common
        same = (common > _OVERLAP * union) | (remaining == best)
        group = remaining[same]
        mean = np.average(points[group], axis=0, weights=scores[group]).astype(np.float32)
        merged.append((mean, float(scores[best])))
        remaining = remaining[~same]
    return merged


def _complete(face: Roi, view: Roi, image: np.ndarray) -> bool:
    """False for a face cut by the edge of its view, unless the image ends there too."""
    height, width = image.shape[:2]
    margin = 0.1 * face.width
    seen = view.clipped(height, width)
    return (
        (face.x > seen.x - margin or seen.x <= 0)
        and (face.y > seen.y - margin or seen.y <= 0)
        and (face.x + face.width < seen.x + seen.width + margin or seen.x + seen.width >= width)
        and (face.y + face.height < seen.y + seen.height + margin or seen.y + seen.height >= height)
    )


def _same_as_one(face: Detection, others: list[Detection]) -> bool:
    return any(overlap(face.roi, other.roi) > _OVERLAP for other in others)


def overlap(a: Roi, b: Roi) -> float:
    """Intersection over union of two regions; 0 where both are empty."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    common = max(width, 0.0) * max(height, 0.0)
    union = a.area + b.area - common
    return common / union if union > 0 else 0.0
