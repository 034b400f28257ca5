"""Judges what was seen of a running graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mx_perception.doctor.check import Check

OURS = (
    "event_camera_node",
    "rgb_camera_node",
    "face_camera_node",
    "simulator_node",
    "face_detector_node",
    "event_tensor_node",
    "au_classifier_node",
    "reconstruction_node",
    "overlay_node",
    "recorder_node",
    "evaluation_node",
)
"""Nodes that report on /diagnostics once a second."""
_INPUTS = {
    "event_tensor_node": ("event_camera/events",),
    "face_detector_node": ("rgb/image_raw", "event_image"),
}
"""What a node reads; of several topics, any will do."""


@dataclass
class Seen:
    """What was seen of a graph; nodes by their full names."""

    nodes: list[str] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    """Lifecycle state of each managed node; empty where it did not answer."""
    reports: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Latest diagnostic level and message of each node."""
    publishers: dict[str, int] = field(default_factory=dict)
    """Number of publishers of each topic that has a subscription."""
    mismatches: list[str] = field(default_factory=list)
    """Pairs of a publisher and a subscription that never meet, in words."""


def graph_checks(seen: Seen) -> Iterator[Check]:
    """A line for every node, and one for everything that keeps two of them apart."""
    if not seen.nodes:
        yield Check("graph", "no node is running; start one with `./mx launch robot.launch.xml`")
        return
    twice = sorted({name for name in seen.nodes if seen.nodes.count(name) > 1})
    if twice:
        yield Check("graph", f"{', '.join(twice)} runs twice", "end one, or give it a namespace")
    else:
        yield Check("graph", f"{len(seen.nodes)} nodes")
    for name in sorted(set(seen.nodes)):
        yield _node(name, seen)
        namespace, _, short = name.rpartition("/")
        topics = [f"{namespace}/{topic}" for topic in _INPUTS.get(short, ())]
        silent = [topic for topic in topics if seen.publishers.get(topic) == 0]
        for topic in silent:
            others = [other for other in topics if other not in silent]
            remedy = "" if others else "start a camera, or remap its topic to this"
            instead = f"; {name} reads {others[0]} instead" if others else ""
            yield Check(topic, f"nobody publishes it{instead}", remedy)
    for mismatch in seen.mismatches:
        yield Check("QoS", mismatch, "make the subscription best effort, as sensors are")


def _node(name: str, seen: Seen) -> Check:
    state, report = seen.states.get(name), seen.reports.get(name)
    if report is not None and report[0] > 0:
        words = {1: "WARN", 2: "ERROR"}.get(report[0], "STALE")
        # The message of a report names its own remedy.
        return Check(name, words, report[1])
    if state == "":
        return Check(name, "does not answer", "end it and start it again; see its log")
    if state is not None and state != "active":
        following = "configure" if state == "unconfigured" else "activate"
        return Check(name, f"is {state}", f"ros2 lifecycle set {name} {following}; see its log")
    if report is None and name.rpartition("/")[2] in OURS:
        return Check(name, "sends no diagnostics", "end it and start it again; see its log")
    return Check(
        name, ", ".join(word for word in (state, "ok" if report else "") if word) or "runs"
    )
