"""A capture session by prompts: which Action Unit, when, and when to rest; it yields the labels."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mx_capture.errors import MxError
from mx_capture.player import Clock
from mx_capture.recording.annotations import check_action_units
from mx_capture.stream import Label

_COUNT_S = 0.1


@dataclass(frozen=True)
class Prompt:
    """One thing that the subject is asked to do."""

    text: str
    au: tuple[int, ...] = ()
    """FACS numbers; none for a prompt that is no expression, such as "look at the camera"."""
    intensity: tuple[float, ...] = ()
    """0..1, one for each Action Unit; 0.5 if left out."""
    hold_s: float = 2.0
    rest_s: float = 3.0
    """Neutral time after it."""
    condition: str = ""


@dataclass(frozen=True)
class Protocol:
    """All prompts of a session, in the order in which they are shown."""

    name: str
    prompts: tuple[Prompt, ...]

    @property
    def duration_s(self) -> float:
        """Seconds from the first prompt to the end of the last rest."""
        return sum(prompt.hold_s + prompt.rest_s for prompt in self.prompts)


@dataclass(frozen=True)
class Cue:
    """What to show now: a prompt or the rest around it, and the seconds left of it."""

    prompt: Prompt
    number: int
    of: int
    resting: bool
    left_s: float
    coming: str = ""
    """The text of the next prompt, to be read while resting; empty after the last one."""


def read_protocol(path: Path) -> Protocol:
    """Read a protocol file.

    Its entries: `name`, `prompts` (a list of the fields of `Prompt`), and optionally `repeat`
    (times that the list is run through), `shuffle` (a seed: each run in another order), and
    `hold_s`, `rest_s` and `condition` for the prompts that do not say them.
    Raises MxError naming the file and the wrong entry.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MxError(f"cannot read the protocol {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MxError(f"{path} is no readable YAML: {' '.join(str(error).split())}") from error
    try:
        return _protocol(values)
    except MxError as error:
        raise MxError(f"{path}: {error}") from error


def run_protocol(
    protocol: Protocol,
    subject: str,
    clock: Clock,
    show: Callable[[Cue], None],
    lead_in_s: float = 0.0,
) -> Iterator[Label]:
    """Go through the prompts in real time; yields a label at the end of each expression.

    Onset and offset are those of the prompt, the apex its middle: what was asked for, to be
    refined by annotating. `show` is called about ten times a second. `lead_in_s`: rest before the
    first prompt, so that it can be read.
    """
    prompts = protocol.prompts
    texts = [prompt.text for prompt in prompts] + [""]

    def count_down(number: int, resting: bool, seconds: float) -> None:
        coming = texts[number]
        prompt = prompts[max(number - 1, 0)]
        end_ns = clock.now_ns() + round(seconds * 1e9)
        while (left_s := (end_ns - clock.now_ns()) / 1e9) > 0:
            show(Cue(prompt, number, len(prompts), resting, left_s, coming))
            clock.sleep(min(left_s, _COUNT_S))

    count_down(0, True, lead_in_s)
    for number, prompt in enumerate(prompts, 1):
        onset_ns = clock.now_ns()
        for resting, seconds in ((False, prompt.hold_s), (True, prompt.rest_s)):
            count_down(number, resting, seconds)
            if not resting and prompt.au:
                offset_ns = clock.now_ns()
                yield Label(
                    subject=subject,
                    au=prompt.au,
                    intensity=prompt.intensity,
                    onset_ns=onset_ns,
                    apex_ns=(onset_ns + offset_ns) // 2,
                    offset_ns=offset_ns,
                    source="protocol",
                    condition=prompt.condition,
                )


def _protocol(values: Any) -> Protocol:
    if not isinstance(values, dict):
        raise MxError("expected the entries name and prompts")
    _check_names(values, ("name", "prompts", "repeat", "shuffle", "hold_s", "rest_s", "condition"))
    entries = values.get("prompts")
    if not isinstance(entries, list) or not entries:
        raise MxError("the entry 'prompts' has to be a list of at least one prompt")
    defaults = {name: values[name] for name in ("hold_s", "rest_s", "condition") if name in values}
    prompts = [_prompt(entry, defaults, n) for n, entry in enumerate(entries, 1)]
    repeat = values.get("repeat", 1)
    if type(repeat) is not int or not 1 <= repeat <= 1000:
        raise MxError(f"repeat={repeat!r} is no number from 1 to 1000")
    order = random.Random(values["shuffle"]) if "shuffle" in values else None
    shown: list[Prompt] = []
    for _ in range(repeat):
        shown += order.sample(prompts, len(prompts)) if order else prompts
    return Protocol(str(values.get("name", "")), tuple(shown))


def _prompt(entry: Any, defaults: dict[str, Any], number: int) -> Prompt:
    where = f"prompt {number}"
    if not isinstance(entry, dict) or "text" not in entry:
        raise MxError(f"{where} has no entry 'text'")
    _check_names(entry, tuple(Prompt.__dataclass_fields__), where)
    merged = {**defaults, **entry}
    try:
        au = tuple(int(value) for value in merged.get("au", ()))
        intensity = tuple(float(value) for value in merged.get("intensity", [0.5] * len(au)))
        hold_s, rest_s = (float(merged.get(name, getattr(Prompt, name))) for name in _TIMES)
    except (TypeError, ValueError) as error:
        raise MxError(f"{where}: {error}") from error
    if not 0 < hold_s <= 600 or not 0 <= rest_s <= 600:
        raise MxError(f"{where}: hold_s={hold_s} or rest_s={rest_s} is outside 0 to 600")
    if au:
        check_action_units(au, intensity, where)
    text, condition = str(merged["text"]), str(merged.get("condition", ""))
    return Prompt(text, au, intensity, hold_s, rest_s, condition)


_TIMES = ("hold_s", "rest_s")


def _check_names(values: dict[str, Any], known: tuple[str, ...], where: str = "") -> None:
    for name in values:
        if name not in known:
            prefix = f"{where}: " if where else ""
            raise MxError(f"{prefix}unknown entry {name!r}; known are {', '.join(known)}")
