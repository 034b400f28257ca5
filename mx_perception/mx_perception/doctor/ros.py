"""The ROS that this process would run on, from its environment; imports nothing of it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from mx_perception.doctor.check import Check

_PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
_SEGMENT_BYTES = 8_000_000
"""Shared memory that holds a few images of a camera."""
_HIGHEST_DOMAIN = 101
"""From 102 on, ports collide with those that Linux gives to outgoing connections."""
_PACKAGES = ("rclpy", "mx_msgs", "event_camera_msgs", "hri_msgs", "cv_bridge", "message_filters")


def ros_checks(environment: Mapping[str, str]) -> Iterator[Check]:
    """Look at the environment variables that ROS reads, and at the packages that Python finds."""
    yield _distribution(environment)
    yield _packages()
    rmw = environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    yield Check("middleware", rmw)
    if "fastrtps" in rmw:
        yield _profile(environment)
    yield _discovery(environment)


def _distribution(environment: Mapping[str, str]) -> Check:
    distribution = environment.get("ROS_DISTRO", "")
    if distribution:
        return Check("ROS", f"ROS 2 {distribution}")
    try:
        return Check("ROS", f"wheels, rclpy {importlib.metadata.version('ros-rclpy')}")
    except importlib.metadata.PackageNotFoundError:
        return Check("ROS", "neither sourced nor installed as wheels", "run through ./mx")


def _packages() -> Check:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return Check("ROS packages", f"{', '.join(missing)} cannot be imported", "run through ./mx")
    return Check("ROS packages", "all can be imported")


def _profile(environment: Mapping[str, str]) -> Check:
    """Without a large segment of shared memory, images do not arrive."""
    remedy = "run through ./mx, or set FASTDDS_DEFAULT_PROFILES_FILE to launch/fastdds.xml"
    path = next((environment[name] for name in _PROFILE_VARIABLES if environment.get(name)), "")
    if not path:
        return Check("transport profile", "none is set, and large images get lost", remedy)
    try:
        root = ElementTree.parse(Path(path)).getroot()
    except (OSError, ElementTree.ParseError) as error:
        return Check("transport profile", f"{path} cannot be read ({error})", remedy)
    sizes = [
        int(element.text or 0)
        for element in root.iter()
        if element.tag.rpartition("}")[2] == "segment_size"
    ]
    if max(sizes, default=0) < _SEGMENT_BYTES:
        finding = f"{path} has a segment_size of {max(sizes, default=0)} bytes"
        return Check("transport profile", finding, remedy)
    return Check("transport profile", f"{path}, {max(sizes) // 2**20} MiB of shared memory a node")


def _discovery(environment: Mapping[str, str]) -> Check:
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET").upper()
    domain = environment.get("ROS_DOMAIN_ID", "0")
    meaning = {
        "LOCALHOST": "topics stay on this machine",
        "SUBNET": "every machine of the subnet sees faces and scores",
        "OFF": "no node finds another one",
        "SYSTEM_DEFAULT": "as the middleware has it",
    }.get(reach)
    finding = f"{reach}, domain {domain}: {meaning}"
    if peers := environment.get("ROS_STATIC_PEERS"):
        finding += f"; peers {peers}"
    if meaning is None:
        names = "LOCALHOST, SUBNET or OFF"
        return Check("discovery", f"range {reach!r} is unknown", f"set it to {names}")
    if not domain.isdigit() or int(domain) > _HIGHEST_DOMAIN:
        return Check("discovery", finding, f"set ROS_DOMAIN_ID to 0 to {_HIGHEST_DOMAIN}")
    if reach == "OFF":
        return Check("discovery", finding, "unset ROS_AUTOMATIC_DISCOVERY_RANGE")
    return Check("discovery", finding)
