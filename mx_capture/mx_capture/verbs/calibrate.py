"""`./mx calibrate`: how an RGB camera and an event camera see the same things."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from mx_capture.calibration.board import Board, BoardConfig
from mx_capture.calibration.contrast import Pair, pairs
from mx_capture.calibration.edges import accumulate_motion, homography_from_edges
from mx_capture.calibration.solve import calibrate_stereo, homography_from_board
from mx_capture.calibration.views import View, ViewCollector
from mx_capture.clock import CLOCKS
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.registration import Registration, RegistrationConfig, write_registration
from mx_capture.stream import Source

_EPILOG = """\
A session that shows a checkerboard of 9 x 6 inner corners and 25 mm squares, moved or blinking:

  ./mx calibrate recordings/board --columns 9 --rows 6 --square-m 0.025 --out calibration.yaml

Two files whose times agree, and no board, only something that moves at the distance of a face:

  ./mx calibrate --rgb video.mp4 --events events.raw --mode edges --out calibration.yaml

Put the file into the session's folder and its name into session.yaml, or set the parameter
calibration of event_tensor_node.
"""


def main(argv: list[str]) -> int:
    """Write one calibration file and print its errors. Raises MxError for what a user can mend."""
    arguments = _parser().parse_args(argv)
    rgb, events = _sources(arguments)
    out = Path(arguments.out)
    if not out.parent.is_dir():
        raise MxError(f"--out {out}: there is no folder {out.parent}; create it first")
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        moments = _watched(pairs(rgb, events, arguments.clock), rgb, progress)
        if arguments.mode == "edges":
            registration, notes = _from_edges(moments)
        else:
            board = Board(BoardConfig.from_arguments(arguments))
            registration, notes = _from_board(board, moments, arguments.mode, rgb, events)
    write_registration(out, registration, notes)
    for name, value in notes.items():
        print(f"{name}: {value}")
    print(f"written to {out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./mx calibrate",
        description="Calibrate an RGB camera and an event camera that look at the same things.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("session", nargs="?", help="recording with both frames and events")
    parser.add_argument("--rgb", help="recording or video with the frames, instead of SESSION")
    parser.add_argument("--events", help="recording with the events, instead of SESSION")
    parser.add_argument(
        "--mode",
        choices=("stereo", "homography", "edges"),
        default="stereo",
        help="stereo: both cameras and their relation from a board; homography: plane to plane "
        "from a board; edges: the same from anything that moves (default: stereo)",
    )
    parser.add_argument(
        "--clock",
        choices=tuple(CLOCKS),
        default="shared",
        help="how sensor time becomes the time of the frames (default: shared)",
    )
    parser.add_argument("--out", default="calibration.yaml", help="(default: calibration.yaml)")
    BoardConfig.add_arguments(parser)
    return parser


def _sources(arguments: argparse.Namespace) -> tuple[Source, Source]:
    both = bool(arguments.rgb) and bool(arguments.events)
    if bool(arguments.session) == both or bool(arguments.rgb) != bool(arguments.events):
        raise MxError("give either one SESSION, or both --rgb and --events")
    if arguments.session:
        source = open_source(arguments.session)
        return source, source
    return open_source(arguments.rgb), open_source(arguments.events)


def _watched(moments: Iterable[Pair], rgb: Source, progress: Progress) -> Iterator[Pair]:
    task = progress.add_task("calibrating", total=max(rgb.duration_ns, 1))
    for pair in moments:
        progress.update(task, completed=pair.stamp_ns - rgb.start_ns)
        yield pair


def _from_edges(moments: Iterable[Pair]) -> tuple[Registration, dict[str, float]]:
    homography, correlation = homography_from_edges(accumulate_motion(moments))
    return homography, {"edge_correlation": round(correlation, 3)}


def _from_board(
    board: Board, moments: Iterable[Pair], mode: str, rgb: Source, events: Source
) -> tuple[Registration, dict[str, float]]:
    collector = ViewCollector(board)
    views = collector.collect(moments)
    seen = {
        "moments": collector.looked,
        "board_in_rgb": collector.rgb_found,
        "board_in_events": collector.events_found,
    }
    if not views:
        counts = ", ".join(f"{name} {count}" for name, count in seen.items())
        raise MxError(
            f"the board was never seen by both sensors ({counts}); check --board, --columns and "
            "--rows, and move it, or let it blink, in view of both"
        )
    registration, notes = _solve(views, mode, rgb, events)
    return registration, {**seen, **notes}


def _solve(
    views: list[View], mode: str, rgb: Source, events: Source
) -> tuple[Registration, dict[str, float]]:
    if mode == "homography":
        homography, error = homography_from_board(views)
        return homography, {"views": len(views), "reprojection_px": round(error, 3)}
    assert rgb.frame_size is not None and events.event_size is not None  # pairs() has checked it
    crop_width_m = RegistrationConfig().crop_width_m
    found = calibrate_stereo(views, rgb.frame_size, events.event_size, crop_width_m)
    return found.stereo, {
        "views": found.views,
        "rgb_reprojection_px": round(found.rgb_error_px, 3),
        "event_reprojection_px": round(found.event_error_px, 3),
        "stereo_reprojection_px": round(found.stereo_error_px, 3),
    }
