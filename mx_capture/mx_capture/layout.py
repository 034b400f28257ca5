"""Where each pixel's events are counted: tables for a set of faces, and the window they fill.

Tables lead from sensor columns and rows to cells of the faces' histograms. Events that belong to
no face are counted too, in spare cells that nobody reads: that is faster than asking.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mx_capture.codecs.decoder import MAX_SIDE_PX
from mx_capture.roi import Roi

# What becomes of an event: the first entries of a window's tallies.
DROPPED, OUT_OF_RANGE, LATE, ON_TIME = range(4)
# A table of columns has an entry for each column with polarity 0, then with polarity 1. An entry,
# 16 bits: whether a further face lies here (bit 15), the place (bits 14..10) and the crop's column.
# Places 0 and 1 are no face, those of faces follow, two each: one for each polarity. Without a
# face, the "column" names a spare cell: one of 64 beside the sensor, one of another 64 on it. They
# are many because counting in one cell again and again waits for memory each time.
MAX_FACES = 15
PLACE_SHIFT, MAX_CROP_PX, FURTHER = 10, 1024, 1 << 15
SPREAD = 64
# The other tallies: events counted once more in a further face, and events of each place that
# found a full cell.
REPEATED, FULL = ON_TIME + 1, ON_TIME + 2
TALLIES = FULL + 2 * (1 + MAX_FACES)
# The tables of columns for rows beside the sensor, and for rows without a face; others follow.
BESIDE, NO_FACE = range(2)
# Sections of the array of rows: table of each row; further table after each table.
AFTER = MAX_SIDE_PX
# Parameters of a window: [start, end) us, number of bins, cells in a plane, the first time that
# is only late, and the sensor's width.
START, END, BINS, PLANE, EARLIEST, WIDTH = range(6)


_CENTERS = np.arange(MAX_SIDE_PX) + 0.5
_SPARE = np.tile((np.arange(MAX_SIDE_PX) % SPREAD).astype(np.uint16), (2, 1))


class Layout:
    """Tables for one set of faces on one sensor.

    A pixel belongs to a face when its centre lies in the face's region; its column in the crop
    is `floor((x + 0.5 - roi.x) * crop_width / roi.width)`, its row likewise.
    """

    def __init__(
        self, sensor: tuple[int, int], crop: tuple[int, int], bins: int, rois: Sequence[Roi]
    ) -> None:
        """`sensor` and `crop` are (height, width); at most 15 `rois`, which may overlap."""
        height, width = self.sensor = sensor
        self.shape = (len(rois), bins, 2, *crop)
        plane = crop[0] * crop[1]
        face_cells = bins * 2 * plane
        self.size = len(rois) * face_cells
        # Spare cells are shifted to later time bins like all others.
        self.spare_cells = 2 * SPREAD + (bins - 1) * 2 * plane
        self._columns = [_crop_indices(roi.x, roi.width, width, crop[1]) for roi in rois]
        plain = _SPARE.copy()
        plain[:, :width] += SPREAD
        self._tables, self._after = [_SPARE, plain], [0, 0]
        rows = [_crop_indices(roi.y, roi.height, height, crop[0]) for roi in rois]
        table_of_row = np.full(MAX_SIDE_PX, BESIDE, np.uint16)
        borders = {0, height}.union(*((first, first + len(indices)) for first, indices in rows))
        for top, bottom in pairwise(sorted(borders)):
            faces = [
                i for i, (first, indices) in enumerate(rows) if 0 <= top - first < len(indices)
            ]
            table_of_row[top:bottom] = self._add_faces(faces) if faces else NO_FACE
        self.columns = np.concatenate(self._tables).ravel()
        self.rows = np.concatenate([table_of_row, np.array(self._after, np.uint16)])
        row_cells = np.full((2 + 2 * len(rois), MAX_SIDE_PX), self.size, np.uint32)
        for face, (first, indices) in enumerate(rows):
            cells = face * face_cells + indices * crop[1]
            row_cells[2 + 2 * face, first : first + len(cells)] = cells
            row_cells[3 + 2 * face, first : first + len(cells)] = cells + plane
        self.row_cells = row_cells.ravel()

    def _append(self, table: np.ndarray) -> int:
        self._tables.append(table)
        self._after.append(0)
        return len(self._tables) - 1

    def _add_faces(self, faces: list[int]) -> int:
        """Tables for rows that these faces share: as many as faces overlap in a column."""
        result = self._append(self._tables[NO_FACE].copy())
        for face in faces:
            first, indices = self._columns[face]
            entries = (((2 + 2 * face) << PLACE_SHIFT) + indices).astype(np.uint16)
            pending = np.ones(len(entries), bool)
            number = result
            while pending.any():
                part = self._tables[number][:, first : first + len(entries)]
                held = part[0] >= 2 << PLACE_SHIFT
                taken = pending & ~held
                part[0, taken], part[1, taken] = entries[taken], entries[taken] + (1 << PLACE_SHIFT)
                pending &= held
                if pending.any():
                    part[:, pending] |= FURTHER
                    if not self._after[number]:
                        self._after[number] = self._append(np.zeros_like(_SPARE))
                    number = self._after[number]
        return result


class Window:
    """A window of sensor time being filled: its histograms and the counts of its events."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        _, bins, _, height, width = layout.shape
        self.parameters = np.array([0, 0, bins, height * width, 0, layout.sensor[1]], np.uint64)
        self.tallies = np.zeros(TALLIES, np.uint64)
        self.open(0, 0, 0)

    def open(self, start: int, end: int, earliest: int) -> None:
        """Begin `[start, end)` us with empty histograms; the last ones belong to who took them.

        Events before the start but not before `earliest` will be late; others stop the loops.
        """
        self.start, self.end, self.earliest = start, end, earliest
        self.parameters[START], self.parameters[END] = start, end
        self.parameters[EARLIEST] = earliest
        self.tallies.fill(0)
        layout = self.layout
        self.cells = np.zeros(layout.size + layout.spare_cells, np.uint8)
        self.arguments = (
            self.parameters,
            layout.columns,
            layout.rows,
            layout.row_cells,
            self.cells,
            self.tallies,
        )

    def contains(self, now: int) -> bool:
        """Whether an event at `now` is counted here, in a bin or as late."""
        return self.earliest <= now < self.end

    @property
    def histograms(self) -> np.ndarray:
        """`(faces, T, P, H, W) uint8`, a view."""
        return self.cells[: self.layout.size].reshape(self.layout.shape)


def _crop_indices(start: float, length: float, side: int, crop: int) -> tuple[int, np.ndarray]:
    """The first sensor index in a face, and for this and the following the crop's indices."""
    if not length > 0:
        return 0, np.empty(0, np.int64)
    indices = np.floor((_CENTERS[:side] - start) * crop / length)
    inside = (indices >= 0) & (indices < crop)
    first = int(inside.argmax())
    return first, indices[first : first + np.count_nonzero(inside)].astype(np.int64)
