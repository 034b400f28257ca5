"""Where each pixel's events are counted: tables for a set of faces, and the window they fill.

Tables lead from sensor columns and rows to cells of the faces' histograms. Events that belong to
no face go to one more cell that nobody reads, and every event raises the count of exactly one
slot: its face, or the reason why it has none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mx_capture.codecs.decoder import MAX_SIDE_PX
from mx_capture.roi import Roi

# Slots: what becomes of an event. Every slot is two, one for each polarity.
DROPPED, OUT_OF_RANGE, LATE, NO_FACE, OUTSIDE, REPEATED, FIRST_FACE = range(7)
MAX_FACES = 26
SLOTS = 2 * (FIRST_FACE + MAX_FACES)
# An entry of a column table is a slot (times two) and a column of the crop.
COLUMN_BITS = 10
MAX_CROP_PX = 1 << COLUMN_BITS
NOTHING = 0xFFFF
"""Entry of a second table: no second face here."""

# Sections of the array of slots: events, events on a full cell, cell at which the row starts.
HITS, FULL, CELL = 0, SLOTS, 2 * SLOTS
# Sections of the array of rows: table of each row; the table after each table (faces that overlap).
AFTER = MAX_SIDE_PX
# Parameters of a window: [start, end) us, number of bins, cells in a plane, and how far an event
# may lie before the start and still only be late.
START, END, BINS, PLANE, EARLIEST = range(5)


class Layout:
    """Tables for one set of faces on one sensor.

    A pixel belongs to a face when its centre lies in the face's region; its column in the crop
    is `floor((x + 0.5 - roi.x) * crop_width / roi.width)`, its row likewise.
    """

    def __init__(
        self, sensor: tuple[int, int], crop: tuple[int, int], bins: int, rois: Sequence[Roi]
    ) -> None:
        """`sensor` and `crop` are (height, width); at most 26 `rois`, which may overlap."""
        height, width = sensor
        self.shape = (len(rois), bins, 2, *crop)
        self.size = int(np.prod(self.shape))
        face_cells = self.size // max(len(rois), 1)
        rows = [_crop_indices(roi.y, roi.height, height, crop[0]) for roi in rois]
        columns = [_crop_indices(roi.x, roi.width, width, crop[1]) for roi in rois]
        self._tables: list[np.ndarray] = []
        self._after: list[int] = []
        for slot in (DROPPED, OUT_OF_RANGE, LATE, NO_FACE, OUTSIDE):
            self._add_table(slot, width if slot not in (DROPPED, OUT_OF_RANGE) else MAX_SIDE_PX)
        elsewhere = OUTSIDE if rois else NO_FACE
        table_of_row = np.full(MAX_SIDE_PX, OUT_OF_RANGE, np.uint16)
        found: dict[tuple[int, ...], int] = {(): elsewhere}
        for y in range(height):
            faces = tuple(face for face in range(len(rois)) if rows[face][y] >= 0)
            if faces not in found:
                found[faces] = self._add_faces(faces, columns, width)
            table_of_row[y] = found[faces]
        self.columns = np.concatenate(self._tables)
        self.rows = np.concatenate([table_of_row, np.array(self._after, np.uint16)])
        self.row_cells = np.zeros(max(len(rois), 1) * MAX_SIDE_PX, np.uint32)
        for face, crop_rows in enumerate(rows):
            start = face * MAX_SIDE_PX
            cells = face * face_cells + np.maximum(crop_rows, 0) * crop[1]
            self.row_cells[start : start + MAX_SIDE_PX] = cells

    def _add_table(self, slot: int, width: int) -> int:
        table = np.full(MAX_SIDE_PX, _entry(OUT_OF_RANGE), np.uint16)
        table[:width] = _entry(slot)
        self._tables.append(table)
        self._after.append(0)
        return len(self._tables) - 1

    def _add_faces(self, faces: tuple[int, ...], columns: list[np.ndarray], width: int) -> int:
        """Tables for rows that these faces share: as many as faces overlap in a column."""
        first = self._add_table(OUTSIDE, width)
        last = first
        for face in faces:
            inside = np.flatnonzero(columns[face] >= 0)
            entries = _entry(FIRST_FACE + face) + columns[face][inside]
            table = first
            while len(inside):
                held = self._tables[table][inside]
                free = (held == _entry(OUTSIDE)) | (held == NOTHING)
                self._tables[table][inside[free]] = entries[free]
                inside, entries = inside[~free], entries[~free]
                if len(inside) and not self._after[table]:
                    self._tables.append(np.full(MAX_SIDE_PX, NOTHING, np.uint16))
                    self._after.append(0)
                    self._after[last] = last = len(self._tables) - 1
                table = self._after[table]
        return first


class Window:
    """A window of sensor time being filled: its histograms and the counts of its slots."""

    def __init__(self, layout: Layout, start: int, end: int, earliest: int) -> None:
        """`[start, end)` in us; events from `earliest` on are late, others stop the loop."""
        self.layout, self.start, self.end, self.earliest = layout, start, end, earliest
        self.parameters = np.array(
            [start, end, layout.shape[1], layout.shape[3] * layout.shape[4], earliest], np.uint64
        )
        self.slots = np.zeros(3 * SLOTS, np.uint64)
        self.slots[CELL:] = layout.size
        self.cells = np.zeros(layout.size + 1, np.uint8)

    def contains(self, now: int) -> bool:
        """Whether an event at `now` is counted here, in a bin or as late."""
        return self.earliest <= now < self.end

    @property
    def histograms(self) -> np.ndarray:
        """`(faces, T, P, H, W) uint8`, a view."""
        return self.cells[:-1].reshape(self.layout.shape)

    @property
    def events(self) -> np.ndarray:
        """Events of each slot, `(32,) int64`."""
        return self.slots[HITS:FULL].reshape(-1, 2).sum(axis=1).astype(np.int64)

    @property
    def saturated(self) -> np.ndarray:
        """Events that found a full cell, of each face, `(faces,) int64`."""
        full = self.slots[FULL:CELL].reshape(-1, 2).sum(axis=1).astype(np.int64)
        return full[FIRST_FACE : FIRST_FACE + self.layout.shape[0]]


def _entry(slot: int) -> int:
    return (2 * slot) << COLUMN_BITS


def _crop_indices(start: float, length: float, side: int, crop: int) -> np.ndarray:
    """The crop's index of each sensor index, `(2048,) int64`; -1 outside."""
    indices = np.full(MAX_SIDE_PX, -1)
    if length > 0:
        scaled = np.floor((np.arange(side) + 0.5 - start) * (crop / length))
        indices[:side] = np.where((scaled >= 0) & (scaled < crop), scaled, -1)
    return indices
