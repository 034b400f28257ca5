"""Evaluates many sessions: on workers of this machine or of a cluster, keeping what is done."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mx_capture.errors import MxError
from mx_capture.files import READERS
from mx_capture.recording.session_info import BAG_FOLDER, SESSION_FILE

from mx_perception.evaluation.session import (
    RESULT_FORMAT,
    EvaluationConfig,
    Evaluator,
    SessionResult,
)
from mx_perception.processes import process_pool

RESULTS = "sessions"
"""The folder in `--out` with a result of each session."""


@dataclass(frozen=True)
class Task:
    """A session to evaluate, and what it is called in the report."""

    path: Path
    name: str


def find_tasks(places: Sequence[Path]) -> list[Task]:
    """The sessions and files at `places`, which may be data sets; MxError where there is none."""
    paths: dict[Path, Path] = {}
    for place in places:
        if not place.exists():
            raise MxError(f"{place} does not exist; give sessions, data sets or recordings")
        found = [place] if place.is_file() or _is_session(place) else _sessions_in(place)
        if not found:
            raise MxError(f"{place} holds no session and no recording; give another folder")
        for path in found:
            paths.setdefault(path.resolve(), path)
    names = _names(paths)
    return [Task(path, names[resolved]) for resolved, path in paths.items()]


def evaluate_all(
    tasks: Sequence[Task],
    out: Path,
    config: EvaluationConfig,
    workers: int = 1,
    scheduler: str = "",
) -> Iterator[tuple[Task, bool]]:
    """Evaluate what `out` does not hold yet; yields (task, done before) as they are done.

    Interrupted, it goes on from the sessions that are done. Their results are in `out/sessions`.
    Raises MxError for models that cannot be used, and a scheduler that does not answer.
    """
    models = Evaluator(config).models()
    (out / RESULTS).mkdir(parents=True, exist_ok=True)
    # What changes while it is evaluated is evaluated again the next time.
    before = {task: _fingerprint(task, config, models) for task in tasks}
    left = [task for task in tasks if stored(out, task, before[task]) is None]
    for task in tasks:
        if task not in left:
            yield task, True
    for task, result in _results(left, config, workers, scheduler):
        store(out, task, result, before[task])
        yield task, False


def stored(out: Path, task: Task, fingerprint: str | None = None) -> SessionResult | None:
    """The result of a session that `out` holds, unless it is damaged or of something else."""
    path = _result_path(out, task)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as archive:
            pictures = dict(archive)
        result = SessionResult(kept["figures"], pictures, kept["timing"])
        same = fingerprint is None or kept["fingerprint"] == fingerprint
    except Exception:  # Readers of zip, zlib, npy and JSON raise whatever damage makes of a file.
        return None
    return result if same else None


def store(out: Path, task: Task, result: SessionResult, fingerprint: str) -> None:
    """Keep a result; it is there as a whole or not at all."""
    path = _result_path(out, task)
    part = path.with_suffix(".npz.part")
    with part.open("wb") as stream:
        np.savez_compressed(stream, **result.pictures)  # type: ignore[arg-type]
    part.replace(path.with_suffix(".npz"))
    kept = {"fingerprint": fingerprint, "figures": result.figures, "timing": result.timing}
    part = path.with_suffix(".json.part")
    part.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)


def _results(
    tasks: Sequence[Task], config: EvaluationConfig, workers: int, scheduler: str
) -> Iterator[tuple[Task, SessionResult]]:
    if scheduler:
        yield from _on_cluster(tasks, config, scheduler)
    elif workers == 1 or len(tasks) < 2:
        for task in tasks:
            yield task, evaluate_task(task, config)
    else:
        with process_pool(workers) as pool:
            futures = {pool.submit(evaluate_task, task, config): task for task in tasks}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BrokenProcessPool as error:
                raise MxError(
                    "a worker was killed, perhaps for want of memory; what is done is kept: run "
                    f"the same command again with fewer than --workers {workers}"
                ) from error


def _on_cluster(
    tasks: Sequence[Task], config: EvaluationConfig, scheduler: str
) -> Iterator[tuple[Task, SessionResult]]:
    """On the workers of a Dask scheduler, which see the sessions under the same paths."""
    try:
        import distributed
    except ImportError as error:
        raise MxError("--scheduler needs distributed; ./mx setup evaluate installs it") from error
    try:
        client = distributed.Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise MxError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    absolute_models = {
        name: str(Path(folder).resolve()) if folder else ""
        for name, folder in (
            ("model", config.model),
            ("reconstruction_model", config.reconstruction_model),
        )
    }
    config = replace(config, **absolute_models)
    with client:
        absolute = {
            client.submit(
                evaluate_task, Task(task.path.resolve(), task.name), config, pure=False
            ): task
            for task in tasks
        }
        for future in distributed.as_completed(absolute):
            yield absolute[future], future.result()


_here = threading.local()
"""Workers of a cluster have several threads, and membranes belong to one of them."""


def evaluate_task(task: Task, config: EvaluationConfig) -> SessionResult:
    """In any process and thread; models are loaded once in each."""
    cv2.setNumThreads(1)
    if getattr(_here, "config", None) != config:
        _here.config, _here.evaluator = config, Evaluator(config)
    result: SessionResult = _here.evaluator.evaluate(task.path, task.name)
    return result


def _is_session(folder: Path) -> bool:
    marks = (SESSION_FILE, BAG_FOLDER, "metadata.yaml")
    return any((folder / mark).exists() for mark in marks) or any(folder.glob("*.mcap"))


def _sessions_in(folder: Path) -> list[Path]:
    inside = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    return [
        path
        for path in inside
        if (path.is_dir() and _is_session(path)) or path.suffix.lower() in READERS
    ]


def _names(paths: Iterable[Path]) -> dict[Path, str]:
    """The last part of each resolved path, with folders before it where others are called so.

    Sessions of several data sets may have the same name, and their results need different files.
    """
    lengths = dict.fromkeys(sorted(paths), 1)
    while True:
        names = {path: "/".join(path.parts[-n:]) for path, n in lengths.items()}
        count = Counter(names.values())
        clashing = [path for path, name in names.items() if count[name] > 1]
        if not clashing:
            # One keeps its name: `a/b_c` and `a_b/c` clash however long they are.
            first = {_file_name(name): path for path, name in reversed(names.items())}
            clashing = [path for path, name in names.items() if first[_file_name(name)] != path]
        longer = [path for path in clashing if lengths[path] < len(path.parts)]
        if not longer:
            return names
        for path in longer:
            lengths[path] += 1


def _file_name(name: str) -> str:
    return f"{name.replace('/', '_')}.json"


def _result_path(out: Path, task: Task) -> Path:
    return out / RESULTS / _file_name(task.name)


def _fingerprint(task: Task, config: EvaluationConfig, models: Any) -> str:
    """Changes with the session's files, the models and what is done with them."""
    files: Iterable[Path] = [task.path]
    if task.path.is_dir():
        files = sorted(path for path in task.path.rglob("*") if path.is_file())
    sizes = [(str(f.relative_to(task.path)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    told = [RESULT_FORMAT, task.name, str(task.path.resolve()), sizes, asdict(config), models]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
