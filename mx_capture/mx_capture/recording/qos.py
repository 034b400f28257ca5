"""QoS profiles as rosbag2 stores them: what was offered, so that a replay can offer the same."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import yaml

_FOREVER = {"sec": 9223372036, "nsec": 854775807}


@dataclass(frozen=True)
class Qos:
    """The part of a QoS profile that decides who may talk to whom."""

    reliability: str = "reliable"
    """`reliable` or `best_effort`."""
    durability: str = "volatile"
    """`volatile` or `transient_local`."""
    depth: int = 10


EVENTS = Qos("best_effort", depth=1000)
IMAGES = Qos("reliable", depth=30)
LABELS = Qos("reliable", depth=100)


def to_metadata(profile: Qos) -> dict[str, Any]:
    """The entry of metadata.yaml, version 9."""
    return {
        "history": "keep_last",
        "depth": profile.depth,
        "reliability": profile.reliability,
        "durability": profile.durability,
        "deadline": dict(_FOREVER),
        "lifespan": dict(_FOREVER),
        "liveliness": "automatic",
        "liveliness_lease_duration": dict(_FOREVER),
        "avoid_ros_namespace_conventions": False,
    }


def to_text(profiles: tuple[Qos, ...]) -> str:
    """The YAML text that a channel of an mcap file carries; empty without profiles."""
    if not profiles:
        return ""
    stream = io.StringIO()
    yaml.safe_dump([to_metadata(profile) for profile in profiles], stream, sort_keys=False)
    return stream.getvalue().strip()


def from_rosbags(profiles: Any) -> tuple[Qos, ...]:
    """From what rosbags reads; values unknown to us become the defaults."""
    return tuple(
        Qos(
            "best_effort" if profile.reliability.name == "BEST_EFFORT" else "reliable",
            "transient_local" if profile.durability.name == "TRANSIENT_LOCAL" else "volatile",
            profile.depth or Qos.depth,
        )
        for profile in profiles
    )
