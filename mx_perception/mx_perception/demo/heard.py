"""What was heard on the topics during a demo."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
from mx_capture.roi import Roi
from mx_capture.stream import Label


@dataclass
class Heard:
    """Everything heard, in the order in which it came; stamps are ROS time in ns."""

    faces: list[tuple[int, str, dict[str, Roi]]] = field(default_factory=list)
    """Stamp, frame id of the camera, boxes by face id."""
    au: tuple[int, ...] = ()
    scores: list[tuple[int, str, np.ndarray]] = field(default_factory=list)
    """Stamp, face id, score per Action Unit of `au`."""
    reconstructions: list[tuple[int, np.ndarray]] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    micro_expressions: list[tuple[int, int, int]] = field(default_factory=list)
    """Stamp, Action Unit, phase (0 ONSET, 1 APEX, 2 OFFSET)."""
    diagnostics: dict[str, dict[str, str]] = field(default_factory=dict)
    """The latest values of every node."""
    problems: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """How often each node reported what."""
