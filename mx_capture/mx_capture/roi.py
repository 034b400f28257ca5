"""A region of interest in pixels of one sensor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Roi:
    """The region `[x, x + width) x [y, y + height)` in (float) pixels of one sensor.

    A pixel `(column, row)` covers `[column, column + 1) x [row, row + 1)`; it belongs to the
    region when its centre `(column + 0.5, row + 0.5)` does. A region may exceed its sensor.
    """

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def full(cls, height: int, width: int) -> Roi:
        """The whole of a sensor of `height` x `width` pixels."""
        return cls(0.0, 0.0, float(width), float(height))

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) of the middle."""
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def area(self) -> float:
        """Square pixels; 0 for an empty region."""
        return max(self.width, 0.0) * max(self.height, 0.0)

    def clipped(self, height: int, width: int) -> Roi:
        """The part inside a sensor of `height` x `width` pixels; its area is 0 when none is."""
        left, top = min(max(self.x, 0.0), width), min(max(self.y, 0.0), height)
        right = min(max(self.x + self.width, 0.0), width)
        bottom = min(max(self.y + self.height, 0.0), height)
        return Roi(left, top, max(right - left, 0.0), max(bottom - top, 0.0))

    def scaled(self, x: float, y: float) -> Roi:
        """The region in an image that is `x` times as wide and `y` times as high."""
        return Roi(self.x * x, self.y * y, self.width * x, self.height * y)

    def inside(self, height: int, width: int) -> Roi:
        """The region in whole pixels, moved into the sensor; one larger than it is cut.

        Moving keeps a square crop square for a face at the border; whole pixels are what a
        sensor_msgs/RegionOfInterest can say, so that offline and live boxes are the same.
        """
        w, h = min(round(self.width), width), min(round(self.height), height)
        left = min(max(round(self.x), 0), width - w)
        top = min(max(round(self.y), 0), height - h)
        return Roi(float(left), float(top), float(w), float(h))
