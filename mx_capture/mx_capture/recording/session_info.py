"""`session.yaml` and `dataset.yaml`: what a recording cannot tell by itself."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import yaml

from mx_capture.errors import MxError
from mx_capture.stream import Source

SESSION_FILE = "session.yaml"
DATASET_FILE = "dataset.yaml"
BAG_FOLDER = "recording"
CONSENT = ("yes", "no", "not needed", "data set", "unknown")

T = TypeVar("T")
_PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def software_version() -> str:
    """The version of mx_capture, or "unknown" where it runs from its sources."""
    try:
        return version("mx_capture")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True)
class Camera:
    """One sensor; sizes in pixels."""

    model: str
    width: int
    height: int
    serial: str = ""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise MxError(f"camera {self.model!r} has the size {self.width}x{self.height} pixels")


@dataclass(frozen=True)
class Lighting:
    """The light on the face: what it is called, and its illuminance in lux where measured."""

    name: str = "unknown"
    lux: float | None = None

    def __post_init__(self) -> None:
        if self.lux is not None and not 0 <= self.lux <= 200_000:
            raise MxError(f"lighting: lux={self.lux} is outside 0 to 200000")


@dataclass(frozen=True)
class Consent:
    """What the person agreed to.

    `given` is `yes`, `no`, `not needed` (nobody was recorded), `data set` (to whoever made the
    data set that this was imported from) or `unknown`.
    """

    given: str
    date: str = ""
    uses: tuple[str, ...] = ()
    """Such as `research`, `training`, `publication`."""

    def __post_init__(self) -> None:
        if self.given not in CONSENT:
            raise MxError(f"consent: given={self.given!r} is not one of {', '.join(CONSENT)}")
        if self.given == "yes":
            _check_date("consent: date", self.date)


@dataclass(frozen=True)
class Retention:
    """How long the recording may be kept: until a day (YYYY-MM-DD), or without limit if empty."""

    until: str = ""
    contact: str = ""
    """Who deletes it on request; a role, not a person."""

    def __post_init__(self) -> None:
        if self.until:
            _check_date("retention: until", self.until)


@dataclass(frozen=True)
class SessionInfo:
    """One subject at one sitting.

    Raises MxError for a subject that is no pseudonym (letters, digits, `-`, `_`; 32 at most).
    """

    subject: str
    consent: Consent
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    """By role: `events`, `rgb`."""
    lighting: Lighting = field(default_factory=Lighting)
    protocol: str = ""
    calibration: str = ""
    """Path of a calibration file, relative to the session."""
    retention: Retention = field(default_factory=Retention)
    software_version: str = field(default_factory=software_version)
    origin: str = ""
    """`camera`, `simulator`, or the file that was imported."""
    note: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What produced the session, such as the simulator's configuration; free in its form."""

    def __post_init__(self) -> None:
        if not _PSEUDONYM.fullmatch(self.subject):
            raise MxError(
                f"subject={self.subject!r} is no pseudonym; use 1 to 32 letters, digits, '-' or '_'"
            )


@dataclass(frozen=True)
class DatasetInfo:
    """A folder of sessions."""

    name: str
    description: str = ""
    licence: str = ""
    version: str = "1"
    retention: Retention = field(default_factory=Retention)
    settings: Mapping[str, Any] = field(default_factory=dict)


def write_info(path: Path, info: SessionInfo | DatasetInfo, *, replace: bool = False) -> None:
    """Write `session.yaml` or `dataset.yaml`; raises MxError when `path` exists, unless `replace`.

    It is there as a whole or not at all.
    """
    if path.exists() and not replace:
        raise MxError(f"{path} exists already; give another folder")
    text = yaml.safe_dump(_plain(info), sort_keys=False, allow_unicode=True)
    partial = path.with_suffix(".yaml.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise MxError(f"cannot write {path}: {error.strerror}") from error


def with_cameras(info: SessionInfo, source: Source) -> SessionInfo:
    """The information with the sizes of the cameras that it does not describe yet."""
    cameras = dict(info.cameras)
    for role, size in (("events", source.event_size), ("rgb", source.frame_size)):
        if size is not None and role not in cameras:
            cameras[role] = Camera("unknown", width=size[1], height=size[0])
    return dataclasses.replace(info, cameras=cameras)


def read_session(folder: Path) -> SessionInfo:
    """The `session.yaml` of a session folder; MxError names the file and the wrong entry."""
    return read_info(folder / SESSION_FILE, SessionInfo)


def calibration_file(path: Path) -> str:
    """The calibration that a session names; empty for none, or for what is no session."""
    if not (path / SESSION_FILE).is_file():
        return ""
    named = read_session(path).calibration
    return str(path / named) if named else ""


def read_dataset(folder: Path) -> DatasetInfo:
    """The `dataset.yaml` of a data set; MxError names the file and the wrong entry."""
    return read_info(folder / DATASET_FILE, DatasetInfo)


def session_folders(dataset: Path) -> list[Path]:
    """The sessions in a data set, or in the data sets in a folder, by name.

    Raises MxError when there is none.
    """
    if not dataset.is_dir():
        raise MxError(f"{dataset} is no folder; give the folder of a data set")
    found = sorted(
        path.parent for depth in ("*", "*/*") for path in dataset.glob(f"{depth}/{SESSION_FILE}")
    )
    if not found:
        raise MxError(f"{dataset} holds no session (a folder with {SESSION_FILE})")
    return found


def read_info(path: Path, cls: type[T]) -> T:
    """A session or data set file anywhere; MxError names the file and the wrong entry."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MxError(f"cannot read {path}: {error.strerror}; write one or record again") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).replace("\n", " ")
        raise MxError(f"{path} is no readable YAML: {line}") from error
    try:
        return _build(cls, values)
    except MxError as error:
        raise MxError(f"{path}: {error}") from error


def _build(cls: Any, values: Any) -> Any:
    """Nested dataclasses from nested mappings, every type checked."""
    if not isinstance(values, Mapping):
        raise MxError(f"expected the entries of {cls.__name__}, found {values!r}")
    hints = typing.get_type_hints(cls)
    for name in values:
        if name not in hints:
            raise MxError(f"unknown entry {name!r}; known are {', '.join(hints)}")
    for item in dataclasses.fields(cls):
        required = (
            item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        )
        if required and item.name not in values:
            raise MxError(f"the entry {item.name!r} is missing")
    return cls(**{name: _convert(name, value, hints[name]) for name, value in values.items()})


def _convert(name: str, value: Any, kind: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _build(kind, value)
    if origin is types.UnionType or origin is typing.Union:
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if value is None else _convert(name, value, inner)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(name, element, arguments[0]) for element in value)
    if isinstance(value, Mapping) and origin not in (None, tuple):
        return {
            str(key): _convert(f"{name}: {key}", element, arguments[1])
            for key, element in value.items()
        }
    if kind is Any or (type(kind) is type and type(value) is kind):
        return value
    if kind is float and type(value) is int:
        return float(value)
    if kind is str and hasattr(value, "isoformat"):  # YAML reads 2026-01-31 as a date.
        return value.isoformat()
    raise MxError(f"{name}={value!r} is not a {getattr(kind, '__name__', kind)}")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(element) for element in value]
    return value


def _check_date(name: str, value: str) -> None:
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", value):
        raise MxError(f"{name}={value!r} is no day such as 2026-01-31")
