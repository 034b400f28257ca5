"""`./mx record`: records a session from the cameras, by prompts if wanted, and checks it."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.prompt import Confirm, Prompt
from rich.text import Text

from mx_capture.errors import MxError
from mx_capture.files.session import SessionSource
from mx_capture.player import WallClock
from mx_capture.recording import cdr
from mx_capture.recording.annotations import write_annotations
from mx_capture.recording.protocol import Cue, Protocol, read_protocol, run_protocol
from mx_capture.recording.recorder import RecorderConfig
from mx_capture.recording.session_info import (
    BAG_FOLDER,
    SESSION_FILE,
    Consent,
    Lighting,
    Retention,
    SessionInfo,
    read_info,
    with_cameras,
    write_info,
)
from mx_capture.recording.verify import quality_table, verify
from mx_capture.stream import Label

_TOPICS = ("event_camera/events", "rgb/image_raw", "rgb/camera_info", "labels")
_START_S, _STOP_S = 30.0, 60.0
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl: the signal to get when the parent ends."""
_FIRST_MESSAGE_BYTES = 1_000
_LEAD_IN_S = 5.0
_VOICES = ("spd-say", "espeak-ng", "espeak")


def main(argv: list[str]) -> int:
    """Record until Ctrl-C, the end of the protocol, or `--duration`."""
    options = _parse(argv)
    protocol = _chosen_protocol(options.protocol)
    config = RecorderConfig.from_arguments(options)
    info = _session_info(options, protocol)
    voice = _voice() if options.speak else None
    out = Path(options.out)
    try:
        out.mkdir(parents=True)
    except FileExistsError as error:
        raise MxError(f"{out} exists already; give another folder") from error
    except OSError as error:
        raise MxError(f"cannot create {out}: {error.strerror}; check its rights") from error
    write_info(out / SESSION_FILE, info)
    console = Console()
    try:
        with _recorder(out, options.topics, config) as process:
            show = _Screen(console, out, process, voice)
            try:
                with show:
                    show.wait_for_messages()
                    if protocol is None:
                        show.wait(options.duration)
                    else:
                        _prompt_through(protocol, info.subject, out, show)
            except KeyboardInterrupt:
                console.print("stopping")
    finally:
        empty = _recorded_bytes(out) < _FIRST_MESSAGE_BYTES
        if empty:  # So that the same command can be given again.
            shutil.rmtree(out)
    if empty:
        raise MxError("no message came, so nothing was recorded")
    return _report(console, out, info, options.json)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./mx record",
        description="Record a session from running cameras, and check the recording.",
        epilog="example: ./mx record --out data/s01 --subject s01 --consent yes --protocol facs",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the new session's folder")
    parser.add_argument(
        "--session", metavar="FILE", help="session.yaml to start from; other options replace its"
    )
    parser.add_argument("--subject", help="pseudonym; asked for if missing")
    parser.add_argument("--consent", choices=("yes", "no", "not needed"), help="given today")
    parser.add_argument("--lighting", help="what the light is called, such as office")
    parser.add_argument("--lux", type=float, help="illuminance on the face, where measured")
    parser.add_argument("--keep-until", metavar="DAY", help="last day, such as 2031-01-31")
    parser.add_argument(
        "--protocol", metavar="FILE", help="prompts to show, as YAML; facs is the shipped one"
    )
    parser.add_argument("--speak", action="store_true", help="speak the prompts, too")
    parser.add_argument("--duration", type=float, metavar="S", help="stop after S seconds")
    parser.add_argument("--topics", nargs="+", default=_TOPICS, help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write the quality table to FILE")
    RecorderConfig.add_arguments(parser)
    return parser.parse_args(argv)


def _chosen_protocol(name: str | None) -> Protocol | None:
    if name is None:
        return None
    shipped = Path(__file__).parents[1] / "data" / f"protocol_{name}.yaml"
    return read_protocol(shipped if shipped.is_file() else Path(name))


def _session_info(options: argparse.Namespace, protocol: Protocol | None) -> SessionInfo:
    """Options, over the file where one is given; what is missing is asked for on a terminal."""
    info = read_info(Path(options.session), SessionInfo) if options.session else _asked(options)
    lighting, retention = info.lighting, info.retention
    if options.lighting is not None or options.lux is not None:
        lighting = Lighting(options.lighting or lighting.name, options.lux)
    if options.keep_until is not None:
        retention = replace(retention, until=options.keep_until)
    return replace(
        info,
        subject=options.subject or info.subject,
        consent=_consent(options.consent, info.consent),
        lighting=lighting,
        retention=retention,
        protocol=protocol.name if protocol else info.protocol,
        origin="camera",
    )


def _asked(options: argparse.Namespace) -> SessionInfo:
    subject = options.subject or _ask("pseudonym of the subject (never a name)", "--subject")
    given = options.consent
    if given is None:
        if not sys.stdin.isatty():
            raise MxError("whether consent was given is not known; give --consent or --session")
        given = "yes" if Confirm.ask("has the subject consented in writing?") else "no"
    consent = _consent(given, Consent("unknown"))
    lighting, until = options.lighting or "unknown", options.keep_until or ""
    if sys.stdin.isatty():
        if options.lighting is None:
            lighting = Prompt.ask("lighting", default="unknown")
        if options.keep_until is None:
            until = Prompt.ask("last day it may be kept, such as 2031-01-31", default="no limit")
    return SessionInfo(
        subject=subject,
        consent=consent,
        lighting=Lighting(lighting, options.lux),
        retention=Retention("" if until == "no limit" else until),
    )


def _consent(given: str | None, known: Consent) -> Consent:
    """What was given today, or what is known; MxError where that is not enough."""
    if given is not None:
        today = time.strftime("%Y-%m-%d") if given == "yes" else ""
        known = replace(known, given=given, date=today)
    if known.given in ("no", "unknown"):
        raise MxError(
            f"without consent nothing is recorded, and it is {known.given!r}; give --consent yes "
            "where the subject has agreed"
        )
    return known


def _ask(question: str, option: str) -> str:
    if not sys.stdin.isatty():
        raise MxError(f"the {question} is missing; give {option} or --session")
    return Prompt.ask(question)


def _voice() -> str:
    for name in _VOICES:
        if path := shutil.which(name):
            return path
    raise MxError(f"--speak needs one of {', '.join(_VOICES)}; install espeak-ng")


@contextlib.contextmanager
def _recorder(
    out: Path, topics: list[str], config: RecorderConfig
) -> Iterator[subprocess.Popen[bytes]]:
    """The recorder node in a process of its own, until the end of the block."""
    parameters = {
        "out": str(out / BAG_FOLDER),
        "topics": " ".join(topics),
        **{name: getattr(config, name) for name in RecorderConfig.__dataclass_fields__},
    }
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"/**": {"ros__parameters": parameters}}, file)
        file.flush()
        # It closes the recording when this process is killed, too.
        code = (
            f"import ctypes; ctypes.CDLL(None).prctl({_DIE_WITH_PARENT}, {signal.SIGINT.value}); "
            "from mx_capture.nodes.recorder_node import main; main()"
        )
        arguments = ["--ros-args", "--log-level", "warn", "--params-file", file.name]
        process = subprocess.Popen([sys.executable, "-c", code, *arguments])
        try:
            yield process
        finally:
            # After Ctrl-C on a terminal it has the signal already; a second one does no harm.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class _Screen:
    """What the terminal shows while recording; also speaks the prompts."""

    def __init__(
        self, console: Console, out: Path, process: subprocess.Popen[bytes], voice: str | None
    ) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=10)
        self._out, self._process, self._voice = out, process, voice
        self._begin = time.monotonic()
        self._spoken: tuple[int, bool] | None = None

    def __enter__(self) -> _Screen:
        self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.__exit__(None, None, None)
        if not self._console.is_terminal:
            self._console.print()

    def wait_for_messages(self) -> None:
        """Wait until the bag grows; raises MxError when nothing comes."""
        while _recorded_bytes(self._out) < _FIRST_MESSAGE_BYTES:
            self._show(Text("waiting for the cameras"))
            if time.monotonic() - self._begin > _START_S:
                raise MxError(
                    f"nothing arrived within {_START_S:.0f} s; start the cameras, for example by "
                    "`./mx launch robot.launch.xml`"
                )
            time.sleep(0.1)
        self._begin = time.monotonic()

    def wait(self, seconds: float | None) -> None:
        """Show the progress for some seconds, or until Ctrl-C."""
        while seconds is None or time.monotonic() - self._begin < seconds:
            self._show(Text("recording; Ctrl-C ends"))
            time.sleep(0.1)

    def show_cue(self, cue: Cue) -> None:
        """Show a prompt with the seconds left, and say it once."""
        words = "rest" if cue.resting else cue.prompt.text
        coming = f"   then: {cue.coming}" if cue.resting and cue.coming else ""
        if self._voice and self._spoken != (cue.number, cue.resting):
            self._spoken = (cue.number, cue.resting)
            subprocess.Popen([self._voice, words])
        style = "dim" if cue.resting else "bold green"
        line = Text(f"{words}   {cue.left_s:.1f} s{coming}", style=style)
        self._show(Panel(line, title=f"{cue.number} of {cue.of}", padding=(2, 4)))

    def _show(self, content: Text | Panel) -> None:
        if self._process.poll() is not None:
            if _recorded_bytes(self._out) < _FIRST_MESSAGE_BYTES:
                raise MxError("the recorder could not start; its last words are above")
            raise MxError(
                f"the recorder ended by itself; save what it wrote by `./mx recover {self._out}`"
            )
        free_gb = shutil.disk_usage(self._out).free / 1e9
        seconds, megabytes = time.monotonic() - self._begin, _recorded_bytes(self._out) / 1e6
        status = Text(f"{seconds:6.1f} s   {megabytes:8.1f} MB   {free_gb:.0f} GB free")
        self._live.update(Group(content, status))


def _recorded_bytes(out: Path) -> int:
    return sum(path.stat().st_size for path in (out / BAG_FOLDER).glob("*.mcap"))


def _prompt_through(protocol: Protocol, subject: str, out: Path, screen: _Screen) -> None:
    """Show all prompts; the labels are on disk after each of them."""
    labels: list[Label] = []
    for label in run_protocol(protocol, subject, WallClock(), screen.show_cue, _LEAD_IN_S):
        labels.append(label)
        write_annotations(out, labels)


def _report(console: Console, out: Path, info: SessionInfo, json_file: str | None) -> int:
    with console.status("reading everything back") as status:
        quality = verify(out, lambda done: status.update(f"reading everything back: {done}"))
    source = SessionSource(out)
    write_info(out / SESSION_FILE, with_cameras(info, source), replace=True)
    console.print(quality_table(quality))
    for problem in quality.problems:
        console.print(f"[yellow]{problem}")
    recorded = sum(item.messages for item in quality.topics if item.type == cdr.LABEL_TYPE)
    labels = recorded + len(source.annotations)
    console.print(f"{labels} labels; the session is {out}", soft_wrap=True)
    if json_file:
        Path(json_file).write_text(json.dumps(quality.as_dict(), indent=1))
    return 0
