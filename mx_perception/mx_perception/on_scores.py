"""The score at which each Action Unit begins: as low as the faces of people at rest allow.

Scores are probabilities, and expressions are rare: a threshold of 0.5 for all would miss most, yet
speech alone brings some units above it. So each unit gets the lowest threshold at which it raises
few false alarms in minutes without an expression.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mx_capture.errors import MxError

from mx_perception.action_units import AU_NUMBERS
from mx_perception.checkpoint import METADATA_FILE
from mx_perception.dataset import Track
from mx_perception.event_driven import EventDrivenStream
from mx_perception.sequences import FaceSequence
from mx_perception.spotter import SpotterConfig
from mx_perception.spotting import spot, stream_scores

ALARMS_PER_MINUTE = 0.02
"""Of one Action Unit: on other people at rest there are several times as many."""
CANDIDATES = (*(round(0.3 + 0.05 * k, 2) for k in range(14)), 0.97, 0.98, 0.99, 0.995, 0.999)
"""From 0.30 to 0.95 in steps of 0.05, and more near 1: speech brings AU26 above 0.99."""


def store_on_scores(folder: Path, neutral: Sequence[FaceSequence], track: Track) -> list[float]:
    """Choose the thresholds of a checkpoint by streams of faces at rest, into its model.json."""
    stream = EventDrivenStream(folder)
    tracked = track(neutral, description="choosing thresholds")
    scores = [stream_scores(sequence, stream)[0] for sequence in tracked]
    chosen = choose_on_scores(scores, stream.hop_us)
    path = folder / METADATA_FILE
    metadata = json.loads(path.read_text(encoding="utf-8")) | {"on_scores": chosen}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
    return chosen


def choose_on_scores(neutral: Sequence[np.ndarray], hop_us: int) -> list[float]:
    """A threshold per Action Unit, in the order of AU_NUMBERS.

    `neutral` are scores `(hops, 14)` of streams without any expression. The highest candidate is
    taken for a unit that raises too many alarms at all of them. Raises MxError without a stream.
    """
    if not neutral:
        raise MxError("no face was found in the minutes at rest; raise --neutral-minutes")
    minutes = sum(len(scores) for scores in neutral) * hop_us / 60e6
    allowed = ALARMS_PER_MINUTE * minutes
    chosen = dict.fromkeys(AU_NUMBERS, CANDIDATES[-1])
    quiet = set(AU_NUMBERS)
    for candidate in reversed(CANDIDATES):
        config = SpotterConfig(on_score=candidate)
        alarms = Counter(d.au for scores in neutral for d in spot(scores, hop_us, config))
        quiet = {au for au in quiet if alarms[au] <= allowed}
        chosen |= dict.fromkeys(quiet, candidate)
    return [chosen[au] for au in AU_NUMBERS]
