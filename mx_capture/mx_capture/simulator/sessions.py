"""Simulated sessions on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from mx_capture.recording.session_info import Camera, Consent, Lighting, SessionInfo
from mx_capture.recording.session_writer import write_session
from mx_capture.simulator.source import SimulatedSource


def session_info(source: SimulatedSource) -> SessionInfo:
    """What session.yaml says about a simulated session."""
    height, width = source.config.size
    cameras = {"events": Camera(f"simulated {source.config.sensor}", width, height)}
    if source.config.frames_fps:
        cameras["rgb"] = Camera(f"simulated {source.config.sensor}", width, height)
    light = source.script.light
    return SessionInfo(
        subject=source.subject,
        consent=Consent("not needed"),
        cameras=cameras,
        lighting=Lighting(light.name, light.lux),
        protocol=source.config.protocol,
        origin="simulator",
        settings=asdict(source.config),
    )


def record(
    source: SimulatedSource, folder: Path, progress: Callable[[float], None] | None = None
) -> dict[str, int]:
    """Render a session into the new `folder`; returns messages by topic.

    `progress` is called with the share done, 0 to 1.
    """

    def report(stamp_ns: int) -> None:
        if progress is not None:
            progress(stamp_ns / source.duration_ns)

    return write_session(source, folder, session_info(source), progress=report)
