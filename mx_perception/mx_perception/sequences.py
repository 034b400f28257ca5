"""What training reads: the event tensors of one face over one session, stored sparsely, and labels.

Tensors are made by the same pipeline as live ones; a sequence is only a compact way to keep them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from mx_capture.errors import MxError
from mx_capture.simulator.sketch_events import CELL_DTYPE
from mx_capture.stream import Label

from mx_perception.action_units import AU_NUMBERS


@dataclass(frozen=True)
class Span:
    """A labelled expression in hops of the sequence (fractions count)."""

    au: tuple[int, ...]
    intensity: tuple[float, ...]
    onset: float
    apex: float
    offset: float
    condition: str = ""


@dataclass(frozen=True)
class FaceSequence:
    """`cells` are sorted by hop; `size` is (height, width) of the crop.

    `frames (N, h, w) uint8` are grey crops of the RGB camera, and `frame_hops (N,) int` the hops at
    whose end they were there; both are empty without an RGB camera.
    """

    subject: str
    session: str
    condition: str
    hops: int
    hop_us: int
    size: tuple[int, int]
    cells: np.ndarray
    spans: tuple[Span, ...]
    frames: np.ndarray
    frame_hops: np.ndarray

    def dense(self, first: int, hops: int) -> np.ndarray:
        """`(hops, 2, H, W) uint8` counts; hops outside the sequence are empty."""
        tensor = np.zeros((hops, 2, *self.size), np.uint8)
        begin, end = np.searchsorted(self.cells["hop"], [max(first, 0), max(first + hops, 0)])
        part = self.cells[begin:end]
        tensor[part["hop"].astype(np.int64) - first, part["p"], part["y"], part["x"]] = part[
            "count"
        ]
        return tensor


def spans_of(labels: Iterable[Label], start_ns: int, hop_us: int, hops: int) -> tuple[Span, ...]:
    """The labels that lie in `hops` hops from `start_ns` on and name units that networks score."""
    spans = []
    for label in labels:
        onset, apex, offset = (
            (stamp - start_ns) / (1000 * hop_us)
            for stamp in (label.onset_ns, label.apex_ns, label.offset_ns)
        )
        pairs = [p for p in zip(label.au, label.intensity, strict=True) if p[0] in AU_NUMBERS]
        if pairs and offset > 0 and onset < hops:
            au, intensity = zip(*pairs, strict=True)
            spans.append(Span(au, intensity, onset, apex, offset, label.condition))
    return tuple(spans)


def free_around(spans: Sequence[Span], index: int, hops: int) -> tuple[float, float]:
    """What the neighbours leave free around one of `spans`, which are sorted by onset."""
    before = max([0.0, *(span.offset for span in spans[:index])])
    return before, min([float(hops), *(span.onset for span in spans[index + 1 :])])


def cells_of(hop: int, tensor: np.ndarray) -> np.ndarray:
    """The cells of one hop's `(1, 2, H, W) uint8` tensor (H, W at most 256)."""
    p, y, x = np.nonzero(tensor[0])
    cells = np.empty(p.size, CELL_DTYPE)
    cells["hop"], cells["p"], cells["y"], cells["x"] = hop, p, y, x
    cells["count"] = tensor[0][p, y, x]
    return cells


def save_sequences(path: Path, sequences: Sequence[FaceSequence]) -> None:
    """Write sequences to one compressed `.npz`, whole or not at all."""
    arrays: dict[str, np.ndarray] = {}
    entries = []
    for index, sequence in enumerate(sequences):
        entry: dict[str, Any] = {
            name: getattr(sequence, name)
            for name in ("subject", "session", "condition", "hops", "hop_us", "size")
        }
        entry["spans"] = [asdict(span) for span in sequence.spans]
        entries.append(entry)
        for name in ("cells", "frames", "frame_hops"):
            arrays[f"{name}_{index}"] = getattr(sequence, name)
    arrays["index"] = np.frombuffer(json.dumps(entries).encode(), np.uint8)
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    part.replace(path)


def load_sequences(paths: Iterable[Path]) -> list[FaceSequence]:
    """Read files of `save_sequences`; MxError names one that is damaged."""
    sequences = []
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as archive:
                for index, entry in enumerate(json.loads(archive["index"].tobytes())):
                    arrays = {n: archive[f"{n}_{index}"] for n in ("cells", "frames", "frame_hops")}
                    sequences.append(_sequence(entry, arrays))
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise MxError(
                f"{path} is no sequence file ({error}); delete it and try again"
            ) from error
    return sequences


def _sequence(entry: dict[str, Any], arrays: dict[str, np.ndarray]) -> FaceSequence:
    spans = tuple(
        Span(**{**span, "au": tuple(span["au"]), "intensity": tuple(span["intensity"])})
        for span in entry.pop("spans")
    )
    return FaceSequence(**{**entry, **arrays, "size": tuple(entry["size"]), "spans": spans})
