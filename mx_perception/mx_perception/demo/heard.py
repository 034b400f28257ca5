"""What was heard on the topics during a demo."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
from mx_capture.stream import Frame, Label

from mx_perception.overlay import Boxes
from mx_perception.spotter import MicroExpression


@dataclass
class Heard:
    """Everything heard, in the order in which it came; stamps are ROS time in ns."""

    faces: list[Boxes] = field(default_factory=list)
    au: tuple[int, ...] = ()
    scores: list[tuple[int, str, np.ndarray]] = field(default_factory=list)
    """Stamp, face id, score per Action Unit of `au`."""
    reconstructions: list[tuple[str, Frame]] = field(default_factory=list)
    """Face id and reconstructed face."""
    labels: list[Label] = field(default_factory=list)
    micro_expressions: list[tuple[int, MicroExpression]] = field(default_factory=list)
    """Stamp of the tensor that revealed a phase, and the phase."""
    diagnostics: dict[str, dict[str, str]] = field(default_factory=dict)
    """The latest values of every node."""
    problems: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """How often each node reported what."""
