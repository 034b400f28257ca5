"""Views of a board by both sensors at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mx_capture.calibration.board import Board, FoundBoard
from mx_capture.calibration.contrast import Pair

_DISTINCT = 0.01
"""A view counts as another one when the board moved by this share of the image width."""
_PERIOD_NS = 80_000_000
"""The board is looked for this often: finding it takes longer than a frame."""
_MAX_VIEWS = 60


@dataclass(frozen=True)
class View:
    """Points of the board that both sensors see at one moment.

    `points_m`: (N, 3); `rgb_px`, `event_px`: (N, 2); all float64.
    """

    points_m: np.ndarray
    rgb_px: np.ndarray
    event_px: np.ndarray


@dataclass
class ViewCollector:
    """Looks for the board in pairs of pictures; says how often each sensor saw it."""

    board: Board
    rgb_found: int = 0
    events_found: int = 0
    looked: int = 0

    def collect(self, pairs: Iterable[Pair]) -> list[View]:
        """Views that differ, at most 60, in order of time."""
        views: list[View] = []
        next_ns = None
        for pair in pairs:
            if next_ns is not None and pair.stamp_ns < next_ns:
                continue
            next_ns = pair.stamp_ns + _PERIOD_NS
            view = self._look(pair)
            if view is not None and is_new(view, views, pair.image.shape[1]):
                views.append(view)
            if len(views) == _MAX_VIEWS:
                break
        return views

    def _look(self, pair: Pair) -> View | None:
        self.looked += 1
        rgb = self.board.find(pair.image)
        events = self.board.find(pair.picture())
        self.rgb_found += rgb is not None
        self.events_found += events is not None
        if rgb is None or events is None:
            return None
        return make_view(self.board, rgb, events)


def make_view(board: Board, rgb: FoundBoard, events: FoundBoard) -> View | None:
    """The points that both have; None if they share fewer than 4.

    A checkerboard looks the same after half a turn: both sensors are taken to stand the same way
    up, and the corners of the events are counted from the end that fits.
    """
    if board.config.board == "checkerboard":
        along_rgb = rgb.points_px[-1] - rgb.points_px[0]
        along_events = events.points_px[-1] - events.points_px[0]
        if along_rgb @ along_events < 0:
            events = replace(events, points_px=events.points_px[::-1])
    ids, in_rgb, in_events = np.intersect1d(rgb.ids, events.ids, return_indices=True)
    if len(ids) < 4:
        return None
    return View(board.points_m[ids], rgb.points_px[in_rgb], events.points_px[in_events])


def is_new(view: View, views: Sequence[View], rgb_width: int) -> bool:
    """Whether the board has moved enough since every kept view."""
    middle = view.rgb_px.mean(axis=0)
    extent = view.rgb_px.std(axis=0)
    return all(
        np.abs(middle - other.rgb_px.mean(axis=0)).max() > _DISTINCT * rgb_width
        or np.abs(extent - other.rgb_px.std(axis=0)).max() > _DISTINCT * rgb_width
        for other in views
    )
