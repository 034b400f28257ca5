"""One picture of a session: what it shows at its expressions, and its event rate over time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mx_capture.codecs import make_decoder
from mx_capture.errors import MxError
from mx_capture.stream import Frame, Label, Packet, Source

_COLUMNS = 6
_MOST_TILES = 18
_BLINK, _SPEECH = (45,), (50,)
_TILE_PX = 200
_PLOT_PX = 160
_BIN_NS = 20_000_000
_INK, _PAPER, _SPAN = (40, 40, 40), (255, 255, 255), (205, 225, 255)


def write_preview(source: Source, path: Path) -> None:
    """Write a contact sheet of the labelled apexes above a plot of the event rate, as PNG or JPEG.

    Raises MxError when the file cannot be written.
    """
    frames, labels, rate = _read(source)
    rows = []
    if frames:
        rows.append(_sheet(frames, labels, source.start_ns))
    width = rows[0].shape[1] if rows else _COLUMNS * _TILE_PX
    rows.append(_plot(rate, labels, source.start_ns, width))
    try:
        written = cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])
    except cv2.error as error:
        raise MxError(f"cannot write {path}: {error.err}") from error
    if not written:
        raise MxError(f"cannot write {path}; check space and rights")


def _read(source: Source) -> tuple[list[Frame], list[Label], np.ndarray]:
    """Small frames, labels, and events a second in bins of 20 ms."""
    frames: list[Frame] = []
    labels: list[Label] = []
    counts = np.zeros(-(-source.duration_ns // _BIN_NS) + 1)
    decoder = None
    for item in source:
        if isinstance(item, Frame):
            image = item.image if item.image.ndim == 3 else np.repeat(item.image[..., None], 3, 2)
            scale = _TILE_PX / image.shape[1]
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            frames.append(Frame(item.stamp_ns, small))
        elif isinstance(item, Packet):
            decoder = decoder or make_decoder(item.encoding, item.height, item.width)
            number = len(decoder.decode(item.events, item.time_base))
            at = (item.stamp_ns - source.start_ns) // _BIN_NS
            counts[min(max(at, 0), len(counts) - 1)] += number
        else:
            labels.append(item)
    return frames, labels, counts[:-1] * (1e9 / _BIN_NS)


def _sheet(frames: list[Frame], labels: list[Label], start_ns: int) -> np.ndarray:
    stamps = np.array([frame.stamp_ns for frame in frames])
    chosen = [(frames[0], "start")]
    for label in _shown(labels):
        nearest = int(np.argmin(np.abs(stamps - label.apex_ns)))
        level = f" {max(label.intensity):.1f}" if label.intensity else ""
        text = f"{_name(label)}{level} {(label.apex_ns - start_ns) / 1e9:.1f}s"
        chosen.append((frames[nearest], text))
    height, width = chosen[0][0].image.shape[:2]
    tiles = []
    for frame, text in chosen:
        tile = np.full((height + 18, width, 3), 255, np.uint8)
        tile[:height] = frame.image
        _write(tile, text, (3, height + 13))
        tiles.append(tile)
    while len(tiles) % _COLUMNS:
        tiles.append(np.full_like(tiles[0], 255))
    rows = [np.concatenate(tiles[i : i + _COLUMNS], 1) for i in range(0, len(tiles), _COLUMNS)]
    return np.concatenate(rows)


def _shown(labels: list[Label]) -> list[Label]:
    """What fits the sheet: one blink and one time of speech, and expressions over all the time."""
    expressions = [label for label in labels if label.au not in (_BLINK, _SPEECH)]
    others = [next((label for label in labels if label.au == au), None) for au in (_BLINK, _SPEECH)]
    room = _MOST_TILES - 1 - sum(label is not None for label in others)
    step = max(1, -(-len(expressions) // room))
    chosen = [*expressions[::step], *(label for label in others if label is not None)]
    return sorted(chosen, key=lambda label: label.apex_ns)


def _name(label: Label) -> str:
    if label.au == _SPEECH:
        return "speech"
    return "+".join(f"AU{unit:02d}" for unit in label.au) or label.condition


def _plot(rate: np.ndarray, labels: list[Label], start_ns: int, width: int) -> np.ndarray:
    plot = np.full((_PLOT_PX, width, 3), 255, np.uint8)
    seconds = len(rate) * _BIN_NS / 1e9
    base, top = _PLOT_PX - 20, 20
    for label in labels:
        left, right = (
            int((stamp - start_ns) / 1e9 / seconds * width)
            for stamp in (label.onset_ns, label.offset_ns)
        )
        cv2.rectangle(plot, (left, top), (right, base), _SPAN, -1)
    free = [0, 0, 0]
    for label in sorted(labels, key=lambda label: label.onset_ns):
        # Names go below one another where they would overlap, and are left out where all do.
        left = int((label.onset_ns - start_ns) / 1e9 / seconds * width)
        line = next((number for number, end in enumerate(free) if end <= left), None)
        if line is not None:
            _write(plot, _name(label).replace("AU", ""), (left + 2, top + 11 + 12 * line))
            free[line] = left + 7 * len(_name(label).replace("AU", "")) + 4
    highest = max(float(rate.max()), 1.0)
    x = np.linspace(0, width - 1, len(rate))
    y = base - rate / highest * (base - top)
    points = np.round(np.stack([x, y], 1)).astype(np.int32)
    cv2.polylines(plot, [points], False, _INK, 1, cv2.LINE_AA)
    _write(plot, f"events/s, at most {highest:,.0f}, mean {rate.mean():,.0f}", (4, 14))
    step = max(1, round(seconds / 10))
    for second in range(0, int(seconds) + 1, step):
        _write(plot, f"{second} s", (int(second / seconds * width) + 2, _PLOT_PX - 5))
    return plot


def _write(image: np.ndarray, text: str, at: tuple[int, int]) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.38, _INK, 1, cv2.LINE_AA)
