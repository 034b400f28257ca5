"""Calibration boards: what they look like, and where they are in an image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mx_capture.config import Config, setting

_MIN_TAGS = 2
_MIN_POINTS = 8
_SETTLED = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)
_BLACK_BORDERS = (1, 2)
"""Width of a tag's black border in cells: AprilTag's own, and that of Kalibr's boards."""


@dataclass(frozen=True)
class BoardConfig(Config):
    """A printed or displayed board.

    A checkerboard counts its inner corners. An AprilGrid (Kalibr's layout) counts tags of family
    36h11, numbered from 0 at the lower left, row by row.
    """

    board: str = setting("checkerboard", "Kind of board", choices=("checkerboard", "aprilgrid"))
    columns: int = setting(9, "Inner corners or tags in a row", minimum=2, maximum=50)
    rows: int = setting(6, "Inner corners or tags in a column", minimum=2, maximum=50)
    square_m: float = setting(0.025, "Side of a square or tag in metres", minimum=1e-4)
    spacing: float = setting(
        0.3, "AprilGrid: gap between tags over the side of a tag", minimum=0.05, maximum=1.0
    )


@dataclass(frozen=True)
class FoundBoard:
    """Points of a board in one image.

    `ids`: (N,) int64, which point of `Board.points_m`; `points_px`: (N, 2) float64, OpenCV's
    pixels (integers are pixel centres).
    """

    ids: np.ndarray
    points_px: np.ndarray


class Board:
    """One board: its points, its picture, and how to find it."""

    def __init__(self, config: BoardConfig) -> None:
        self.config = config
        self.points_m = self._checkerboard() if self._is_checkerboard else self._aprilgrid()
        """(N, 3) float64: x right, y down on the board, z 0, in metres."""
        self._dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_APRILTAG_36h11)
        self._detectors = [self._tag_detector(border) for border in _BLACK_BORDERS]

    @property
    def _is_checkerboard(self) -> bool:
        return self.config.board == "checkerboard"

    def find(self, image: np.ndarray) -> FoundBoard | None:
        """The board in `(H, W)` or RGB `(H, W, 3)` uint8; None without it."""
        if image.ndim == 3:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return self._find_corners(image) if self._is_checkerboard else self._find_tags(image)

    def draw(self, square_px: int = 64) -> np.ndarray:
        """A picture to print or to show: (H, W) uint8, with a white margin of a square."""
        if self._is_checkerboard:
            odd = np.indices((self.config.rows + 1, self.config.columns + 1)).sum(axis=0) % 2
            tiles = np.where(odd, 255, 0).astype(np.uint8)
            picture = np.kron(tiles, np.ones((square_px, square_px), np.uint8))
        else:
            picture = self._draw_tags(square_px)
        return np.pad(picture, square_px, constant_values=255)

    def _checkerboard(self) -> np.ndarray:
        rows, columns = np.indices((self.config.rows, self.config.columns))
        points = np.stack([columns, rows, np.zeros_like(rows)], axis=-1).reshape(-1, 3)
        return points * self.config.square_m

    def _aprilgrid(self) -> np.ndarray:
        """Corners of tag i are points 4 i to 4 i + 3: upper left, then clockwise."""
        config = self.config
        tags = np.arange(config.rows * config.columns)
        column, row = tags % config.columns, config.rows - 1 - tags // config.columns
        pitch = config.square_m * (1 + config.spacing)
        upper_left = np.stack([column, row, np.zeros_like(row)], axis=-1) * pitch
        square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]) * config.square_m
        return (upper_left[:, None] + square).reshape(-1, 3)

    def _tag_detector(self, border: int) -> cv2.aruco.ArucoDetector:
        parameters = cv2.aruco.DetectorParameters()
        parameters.markerBorderBits = border
        # Event pictures are soft: trust the middle of each cell only, and low contrast too.
        parameters.perspectiveRemoveIgnoredMarginPerCell = 0.3
        parameters.minOtsuStdDev = 2.0
        return cv2.aruco.ArucoDetector(self._dictionary, parameters)

    def _find_corners(self, image: np.ndarray) -> FoundBoard | None:
        size = self.config.columns, self.config.rows
        flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
        found, corners = cv2.findChessboardCornersSB(image, size, flags=flags)
        if not found:
            return None
        # Event pictures have soft shades around sharp edges; the edges alone are in place.
        refined = cv2.cornerSubPix(image, corners.reshape(-1, 1, 2), (4, 4), (-1, -1), _SETTLED)
        points = refined.reshape(-1, 2).astype(np.float64)
        return FoundBoard(np.arange(len(points)), points)

    def _find_tags(self, image: np.ndarray) -> FoundBoard | None:
        # Cells of a few pixels are read far more often in a doubled image.
        doubled = cv2.resize(image, None, fx=2.0, fy=2.0, interpolation=cv2.INTER_CUBIC)
        for detector in self._detectors:
            corners, tags, _ = detector.detectMarkers(doubled)
            known = [] if tags is None else np.flatnonzero(tags < len(self.points_m) // 4)
            if len(known) >= _MIN_TAGS:
                pixels = (np.array(corners)[known, 0].astype(np.float64) + 0.5) / 2 - 0.5
                return self._complete(tags.ravel()[known], pixels, image)
        return None

    def _complete(
        self, tags: np.ndarray, corners: np.ndarray, image: np.ndarray
    ) -> FoundBoard | None:
        """All corners that the image shows, from the tags that could be read, (M, 4, 2) pixels.

        Printed boards differ in which corner of a tag comes first; the turn that fits is taken.
        """
        best, agree = None, 0
        for turn in range(4):
            ids = (4 * tags[:, None] + (np.arange(4) + turn) % 4).ravel()
            matrix, inliers = cv2.findHomography(
                self.points_m[ids, :2], corners.reshape(-1, 2), cv2.RANSAC, 4.0
            )
            if matrix is not None and inliers.sum() > agree:
                best, agree = matrix, int(inliers.sum())
        if best is None or agree < _MIN_POINTS:
            return None
        expected = cv2.perspectiveTransform(self.points_m[None, :, :2], best)[0]
        side = np.median(np.hypot(*(expected[1::4] - expected[::4]).T))
        reach = max(2, int(side * self.config.spacing / 3))
        last = np.array(image.shape[::-1]) - 1
        inside = np.all((expected > reach + 2) & (expected < last - reach - 2), axis=1)
        ids = np.flatnonzero(inside)
        if len(ids) < _MIN_POINTS:
            return None
        refined = cv2.cornerSubPix(
            image, expected[ids].astype(np.float32), (reach, reach), (-1, -1), _SETTLED
        )
        # What is hidden or unclear does not settle where the plane of the board is.
        _, inliers = cv2.findHomography(self.points_m[ids, :2], refined, cv2.RANSAC, 2.0)
        if inliers is None or inliers.sum() < _MIN_POINTS:
            return None
        keep = inliers.ravel().astype(bool)
        return FoundBoard(ids[keep], refined[keep].astype(np.float64))

    def _draw_tags(self, square_px: int) -> np.ndarray:
        gap = round(square_px * self.config.spacing)
        pitch = square_px + gap
        rows, columns = self.config.rows, self.config.columns
        picture = np.full((rows * pitch + gap, columns * pitch + gap), 255, np.uint8)
        for row in range(rows + 1):
            for column in range(columns + 1):
                y, x = row * pitch, column * pitch
                picture[y : y + gap, x : x + gap] = 0
                if row < rows and column < columns:
                    tag = (rows - 1 - row) * columns + column
                    marker = cv2.aruco.generateImageMarker(self._dictionary, tag, square_px)
                    picture[y + gap : y + pitch, x + gap : x + pitch] = marker
        return picture
