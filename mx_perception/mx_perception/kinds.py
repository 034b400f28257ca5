"""Kinds of sessions: by light, sensor, noise, pose, and by who is seen.

To train on some kinds and test on others, `./mx train au --leave-out` names the ones to leave out,
and `./mx bench conditions` gives the accuracy of each.
"""

from __future__ import annotations

from collections.abc import Mapping

from mx_capture.errors import MxError
from mx_capture.simulator.identity import draw_identity

from mx_perception.sequences import FaceSequence

SKETCHED = "sketched"
"""Begins the names of sketched subjects; their number follows."""
FIRST_PERSON = 1_000_000_000
"""Seeds from here on are sketched; `./mx simulate` counts from small ones, so nobody is both."""


def kind(sequence: FaceSequence) -> dict[str, str]:
    """What a session was made under, by name; of sketched people also what they look like."""
    values = dict(part.split("=", 1) for part in sequence.condition.split() if "=" in part)
    number = sequence.subject.removeprefix(SKETCHED)
    if sequence.subject.startswith(SKETCHED) and number.isdigit():
        identity = draw_identity(FIRST_PERSON + int(number))
        brightness = sum(identity.skin_colour) / 3
        values |= {
            "skin": "dark" if brightness < 0.2 else "medium" if brightness < 0.4 else "light",
            "beard": "none" if identity.beard == "none" and identity.stubble < 0.4 else "some",
            "glasses": "none" if identity.glasses == "none" else "some",
            "age": "old" if identity.age > 0.5 else "young",
        }
    return values


def parse_kinds(text: str) -> dict[str, str]:
    """`"sensor=640x480,346x260 threshold=0.24:"` as a mapping; MxError names what is no kind."""
    kinds = {}
    for part in text.split():
        name, equals, wanted = part.partition("=")
        if not (name and equals and wanted):
            raise MxError(
                f"{part!r} names no kind of session; write NAME=VALUE,VALUE or NAME=LOW:HIGH, "
                'such as "lighting=dark threshold=0.24: skin=dark"'
            )
        if ":" in wanted:
            for bound in wanted.split(":", 1):
                _number(bound or "0", part)
        kinds[name] = wanted
    return kinds


def is_of(values: Mapping[str, str], kinds: Mapping[str, str]) -> bool:
    """Whether a session with these values is of any of the kinds. Ranges are `[low, high)`."""
    for name, wanted in kinds.items():
        value = values.get(name)
        if value is None:
            continue
        if ":" not in wanted:
            if value in wanted.split(","):
                return True
            continue
        low, high = wanted.split(":", 1)
        inside = _number(low or "-inf", name) <= _number(value, name) < _number(high or "inf", name)
        if inside:
            return True
    return False


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise MxError(f"{where}: {text!r} is no number") from error
