"""Worker processes, and files that they draw once."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes of one thread each: more would only wait for each other.

    What has not begun when the block ends is cancelled.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for its next task for ever."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def drawn(
    files: dict[int, Path],
    draw: Callable[[int, Path], None],
    track: Callable[..., Iterable[Any]],
    description: str,
) -> Iterator[Path]:
    """The files in their order; `draw(number, file)` makes those that are missing, on all cores.

    `track(numbers, description=...)` shows progress. `draw` must be a function of a module.
    """
    missing = [number for number, path in files.items() if not path.is_file()]
    workers = min(cores(), len(missing))
    if workers < 2:
        for number in track(list(files), description=description):
            if not files[number].is_file():
                draw(number, files[number])
            yield files[number]
        return
    with process_pool(workers) as pool:
        futures = {number: pool.submit(draw, number, files[number]) for number in missing}
        for number in track(list(files), description=description):
            if number in futures:
                futures[number].result()
            yield files[number]
