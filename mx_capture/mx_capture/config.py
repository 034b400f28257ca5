"""Configuration as frozen dataclasses: one definition serves ROS parameters and command lines.

A component declares its settings once::

    @dataclass(frozen=True)
    class TensorConfig(Config):
        hop_us: int = setting(10_000, "Length of a hop in microseconds", minimum=1_000)

Construction validates every field, so a wrong value fails at start-up and is named.
"""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from mx_capture.errors import MxError

C = TypeVar("C", bound="Config")


def setting(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] | None = None,
    read_only: bool = True,
) -> Any:
    """A dataclass field with what a ROS descriptor and ``--help`` need to know.

    ``read_only`` is False only for values that a running component takes up safely.
    """
    metadata = {
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "choices": tuple(choices) if choices else None,
        "read_only": read_only,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of all configurations. Supported field types: bool, int, float, str."""

    def __post_init__(self) -> None:
        types = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if types[field.name] is float and type(value) is int:
                object.__setattr__(self, field.name, float(value))
            elif type(value) is not types[field.name]:
                raise MxError(f"{field.name}={value!r} is not of type {types[field.name].__name__}")
            _check_range(field, value)

    @classmethod
    def from_mapping(cls: type[C], values: Mapping[str, Any]) -> C:
        """Build from a mapping; an unknown name is an error that lists the known ones."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise MxError(f"unknown setting {name!r}; known are {', '.join(known)}")
        return cls(**values)

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add one ``--option`` for every field, with its default and range in the help."""
        types = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            option = "--" + field.name.replace("_", "-")
            text = f"{field.metadata['description']} (default: {field.default})".replace("%", "%%")
            if types[field.name] is bool:
                parser.add_argument(
                    option, action=argparse.BooleanOptionalAction, default=field.default, help=text
                )
                continue
            choices = field.metadata["choices"]
            # Construction refuses other values, in one line instead of argparse's twenty.
            parser.add_argument(
                option,
                type=types[field.name],
                default=field.default,
                metavar="{" + ",".join(choices) + "}" if choices else None,
                help=text,
            )

    @classmethod
    def from_arguments(cls: type[C], arguments: argparse.Namespace) -> C:
        """Take this configuration's fields out of parsed arguments."""
        return cls(
            **{field.name: getattr(arguments, field.name) for field in dataclasses.fields(cls)}
        )


def _check_range(field: dataclasses.Field[Any], value: Any) -> None:
    minimum, maximum = field.metadata["minimum"], field.metadata["maximum"]
    choices = field.metadata["choices"]
    if choices is not None and value not in choices:
        raise MxError(f"{field.name}={value!r} is not one of {', '.join(choices)}")
    below = minimum is not None and not value >= minimum
    above = maximum is not None and not value <= maximum
    if below or above:
        raise MxError(f"{field.name}={value!r} is outside {minimum} to {maximum}")
