"""A data set of simulated sessions: what belongs to it, and how workers render it."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from mx_capture.files.session import SessionSource
from mx_capture.recording.session_info import (
    DATASET_FILE,
    SESSION_FILE,
    DatasetInfo,
    read_dataset,
    write_info,
)
from mx_capture.simulator.config import SessionConfig, SimulationConfig
from mx_capture.simulator.preview import write_preview
from mx_capture.simulator.sessions import record
from mx_capture.simulator.source import SimulatedSource

PREVIEW_FILE = "preview.jpg"
_MOST_SUBJECTS = 10_000


@dataclass(frozen=True)
class DatasetConfig(Config):
    """How many sessions, of whom."""

    subjects: int = setting(1, "Number of people", minimum=1, maximum=_MOST_SUBJECTS)
    sessions: int = setting(1, "Sessions of each person", minimum=1, maximum=1000)
    seed: int = setting(
        1, "Number that people and sessions are drawn from", minimum=0, maximum=200_000
    )
    workers: int = setting(1, "Sessions rendered at the same time", minimum=1, maximum=256)


@dataclass(frozen=True)
class PlannedSession:
    """A session by the name of its folder."""

    name: str
    config: SimulationConfig


def plan_sessions(dataset: DatasetConfig, template: SessionConfig) -> list[PlannedSession]:
    """All sessions. Two seeds share no person; the plan does not depend on the workers."""
    plan = []
    for subject in range(dataset.subjects):
        person = dataset.seed * _MOST_SUBJECTS + subject
        for number in range(dataset.sessions):
            config = SimulationConfig(
                **asdict(template), identity=person, seed=person + (number << 32)
            )
            plan.append(PlannedSession(f"sim{person:06d}_{number:02d}", config))
    return plan


def open_dataset(
    folder: Path, dataset: DatasetConfig, template: SessionConfig
) -> list[PlannedSession]:
    """Prepare `folder` and give the sessions that are still to be rendered.

    A folder that this very command began is taken up again. Raises MxError for any other folder
    that is not empty; nothing in it is touched.
    """
    settings = {"seed": dataset.seed, **asdict(template)}
    plan = plan_sessions(dataset, template)
    if (folder / DATASET_FILE).is_file():
        begun = dict(read_dataset(folder).settings)
        for name, value in settings.items():
            if begun.get(name) != value:
                raise MxError(
                    f"{folder} holds sessions with {name}={begun.get(name)!r}, not {value!r}; "
                    "give the same options to go on, or another folder"
                )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MxError(f"{folder} exists and holds something else; give another folder")
    left = [session for session in plan if not (folder / session.name / SESSION_FILE).is_file()]
    _check_space(folder, template, len(left))
    if not (folder / DATASET_FILE).is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MxError(f"cannot make {folder}: {error.strerror}; check its rights") from error
        description = "Simulated faces before a simulated event camera; no real person."
        write_info(
            folder / DATASET_FILE,
            DatasetInfo(folder.resolve().name, description, "CC0-1.0", settings=settings),
        )
    return left


def expected_bytes(config: SessionConfig) -> int:
    """About how large a session becomes: its frames, and events at a usual rate."""
    height, width = config.size
    frames = config.duration_s * config.frames_fps * height * width * 3
    events = config.duration_s * height * width * 12
    return int(frames + events)


def render_sessions(
    folder: Path,
    sessions: list[PlannedSession],
    workers: int,
    report: Callable[[str, float], None],
) -> None:
    """Render into `folder`; `report` hears of (session, share done).

    Each session appears as a whole: it grows under a hidden name. Raises the first MxError.
    """
    if workers == 1:
        for session in sessions:
            _render(folder, session, partial(report, session.name))
        return
    context = multiprocessing.get_context("spawn")
    reports = context.SimpleQueue()
    with context.Pool(workers, _keep_queue, (reports,)) as pool:
        results = [pool.apply_async(_render_there, (folder, session)) for session in sessions]
        waiting = len(results)
        while waiting:
            name, share, error = reports.get()
            if error is not None:
                raise MxError(error)
            report(name, share)
            waiting -= share >= 1
        for result in results:
            result.get()


_reports: SimpleQueue[Any] | None = None


def _keep_queue(reports: SimpleQueue[Any]) -> None:
    global _reports
    _reports = reports


def _render_there(folder: Path, session: PlannedSession) -> None:
    """Render in a worker process."""
    reports = _reports
    assert reports is not None
    try:
        _render(folder, session, lambda share: reports.put((session.name, share, None)))
    except MxError as error:
        reports.put((session.name, 0.0, str(error)))
    except BaseException as error:
        reports.put((session.name, 0.0, f"{session.name}: {type(error).__name__}: {error}"))
        raise


def _render(folder: Path, session: PlannedSession, report: Callable[[float], None]) -> None:
    unfinished = folder / f".{session.name}.partial"
    shutil.rmtree(unfinished, ignore_errors=True)
    last = 0.0

    def progress(share: float) -> None:
        nonlocal last
        if share > last + 0.01:
            last = share
            report(min(share, 0.99))

    try:
        record(SimulatedSource(session.config), unfinished, progress)
        write_preview(SessionSource(unfinished), unfinished / PREVIEW_FILE)
        unfinished.rename(folder / session.name)
    except OSError as error:
        raise MxError(f"cannot write {folder / session.name}: {error.strerror}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    report(1.0)


def _check_space(folder: Path, template: SessionConfig, sessions: int) -> None:
    wanted = sessions * expected_bytes(template)
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if wanted > free:
        raise MxError(
            f"{folder} needs about {wanted / 1e9:.1f} GB and has {free / 1e9:.1f} GB free; "
            "ask for fewer or shorter sessions"
        )
