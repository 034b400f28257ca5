"""Definitions of message types: from the installed interface packages, or our own sources."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from mx_capture.errors import MxError

_REPOSITORY = Path(__file__).resolve().parents[3]


@cache
def typestore() -> Typestore:
    """ROS 2's own types and every type asked for by `ensure_type` since."""
    return get_typestore(Stores.ROS2_KILTED)


def ensure_type(name: str) -> None:
    """Make a type such as `mx_msgs/msg/Label`, and what it is made of, known to `typestore()`.

    Raises MxError when its package is not installed.
    """
    if name in typestore().types:
        return
    package, _, short = name.split("/")
    types = get_types_from_msg(_definition(package, short), name)
    for _, fields in types.values():
        for _, field_type in fields:
            for inner in _type_names(field_type):
                ensure_type(inner)
    typestore().register(types)


def definition_of(name: str) -> tuple[str, str]:
    """The full text of a type (ros2msg, with all that it is made of) and its RIHS01 hash."""
    ensure_type(name)
    text, _ = typestore().generate_msgdef(name, ros_version=2)
    return text, typestore().hash_rihs01(name)


def register_definition(name: str, text: str) -> str:
    """Make a type known by the text that a recording carries; returns its RIHS01 hash.

    A definition that is known already stays.
    """
    types = get_types_from_msg(text, name)
    known = typestore().types
    typestore().register({key: value for key, value in types.items() if key not in known})
    return typestore().hash_rihs01(name)


def _type_names(field_type: Any) -> Iterator[str]:
    """The message types that a field's type, as rosbags parses it, refers to."""
    kind, value = field_type
    if kind is Nodetype.NAME:
        yield value
    elif kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        yield from _type_names(value[0])


def _definition(package: str, short: str) -> str:
    prefixes = [
        Path(entry) for entry in os.environ.get("AMENT_PREFIX_PATH", "").split(":") if entry
    ]
    folders = [
        *(prefix / "share" / package / "msg" for prefix in prefixes),
        _REPOSITORY / package / "msg",
        _REPOSITORY / "underlay" / package / "msg",
    ]
    for folder in folders:
        path = folder / f"{short}.msg"
        if path.is_file():
            return path.read_text()
    raise MxError(
        f"the definition of {package}/msg/{short} was not found; source the workspace that has "
        f"{package}, or start through ./mx"
    )
