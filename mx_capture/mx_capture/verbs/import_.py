"""`./mx import`: turns recordings of other formats, and public data sets, into sessions."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.files.merged import EventsOf, MergedSource
from mx_capture.recording.layouts import LAYOUTS, layout_of
from mx_capture.recording.layouts.imported import SESSION_START_NS, ImportedSession
from mx_capture.recording.session_info import (
    CONSENT,
    DATASET_FILE,
    SESSION_FILE,
    Consent,
    DatasetInfo,
    SessionInfo,
    write_info,
)
from mx_capture.recording.session_writer import write_session
from mx_capture.stream import Source


def main(argv: list[str]) -> int:
    """Import one recording as a session, or a data set as a folder of sessions."""
    parser = argparse.ArgumentParser(
        prog="./mx import",
        description="Turn a recording of another format, or a public data set, into sessions.",
        epilog="example: ./mx import take1.raw --rgb take1.mp4 --out data/s01 --subject s01",
    )
    parser.add_argument(
        "source", help="a RAW, DAT, AEDAT4, HDF5, .bin or video file, or a data set's folder"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the new folder")
    parser.add_argument("--rgb", metavar="FILE", help="take the frames from this video")
    parser.add_argument(
        "--rgb-later-ms",
        type=float,
        default=0.0,
        metavar="MS",
        help="how long after the events the video starts; negative: before (default: 0)",
    )
    parser.add_argument("--subject", help="pseudonym (default: the file's name)")
    parser.add_argument("--consent", choices=CONSENT, default="unknown")
    parser.add_argument("--consent-date", default="", metavar="DAY", help="such as 2026-01-31")
    parser.add_argument("--layout", choices=tuple(LAYOUTS), help="default: found out")
    options = parser.parse_args(argv)
    source, out = Path(options.source), Path(options.out)
    if not source.exists():
        raise MxError(f"{source} does not exist; give a recording or the folder of a data set")
    layout = options.layout or (layout_of(source) if source.is_dir() else None)
    console = Console()
    if layout is not None:
        written, skipped = _import_data_set(layout, source, out, console)
        already = f", {skipped} were there already" if skipped else ""
        console.print(f"{written} sessions written to {out}{already}")
        return 0
    session = _single(source, options)
    counts = _write([session], out.parent, console, name=out.name)
    messages = ", ".join(f"{n} x {topic}" for topic, n in counts.items())
    console.print(f"{out}: {messages}", soft_wrap=True)
    return 0


def _single(path: Path, options: argparse.Namespace) -> ImportedSession:
    """One recording, with the video beside it if one is given."""
    subject = options.subject or re.sub(r"[^A-Za-z0-9_-]", "-", path.stem).strip("-_")[:32]
    consent = Consent(options.consent, options.consent_date)
    info = SessionInfo(subject=subject or "unnamed", consent=consent, origin=path.name)
    rgb = Path(options.rgb) if options.rgb else None
    return ImportedSession(path.stem, info, lambda: _open(path, rgb, options.rgb_later_ms))


def _open(path: Path, rgb: Path | None, rgb_later_ms: float) -> Source:
    source = open_source(path)
    # The file's own time where it tells one.
    start_ns = max(source.start_ns, SESSION_START_NS)
    if rgb is None:
        return MergedSource([(source, 0)], start_ns=start_ns)
    later_ns = round(rgb_later_ms * 1e6)
    events = EventsOf(source), max(0, -later_ns)
    frames = open_source(rgb), max(0, later_ns)
    return MergedSource([events, frames], start_ns=start_ns)


def _import_data_set(layout: str, folder: Path, out: Path, console: Console) -> tuple[int, int]:
    """Write every session that is not there yet; returns how many were written and skipped."""
    sessions = list(LAYOUTS[layout](folder))
    if not (out / DATASET_FILE).exists():
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MxError(f"cannot create {out}: {error.strerror}; check its rights") from error
        if any(out.iterdir()):
            raise MxError(f"{out} exists and is no data set of ours; give another folder")
        write_info(out / DATASET_FILE, DatasetInfo(out.name, f"imported from {folder.name}"))
    missing = [item for item in sessions if not (out / item.name / SESSION_FILE).exists()]
    _write(missing, out, console)
    return len(missing), len(sessions) - len(missing)


def _write(
    sessions: Iterable[ImportedSession], folder: Path, console: Console, name: str | None = None
) -> dict[str, int]:
    """Write sessions under their own names, or one under `name`; the last one's messages."""
    sessions = list(sessions)
    counts: dict[str, int] = {}
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        total = progress.add_task("sessions", total=len(sessions))
        for session in sessions:
            target = folder / (name or session.name)
            if target.exists():
                raise MxError(f"{target} exists already; give another folder")
            source = session.open()
            task = progress.add_task(session.name[:40], total=source.duration_ns // 1_000_000)
            partial = target.with_name(target.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)

            def show(stamp_ns: int, task: int = task, start_ns: int = source.start_ns) -> None:
                progress.update(task, completed=(stamp_ns - start_ns) // 1_000_000)  # type: ignore[arg-type]

            try:
                counts = write_session(source, partial, session.info, progress=show)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            partial.rename(target)
            progress.remove_task(task)
            progress.advance(total)
    return counts
