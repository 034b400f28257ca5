"""Runs the processes of a launch file: output, restarts, and an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mx_launch.description import Process, describe
from mx_launch.document import LaunchError

Output = Callable[[str, str], None]
"""Takes the name of a process and one line of its output, without the line's end."""

LONGEST_LINE = 1 << 16
"""Bytes without a line's end that are passed on as a line all the same."""


@dataclass(frozen=True)
class _Pipe:
    """A pipe: where to read, and the descriptor to write to."""

    reader: asyncio.StreamReader
    write_end: int

    @classmethod
    async def open(cls) -> _Pipe:
        read_end, write_end = os.pipe()
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
        )
        return cls(reader, write_end)


class Launch:
    """The processes of one launch file, each in a process group of its own.

    When a process that is required (`on_exit="shutdown"`) ends, all others are stopped. Stopping
    sends SIGINT, then SIGTERM, then SIGKILL, each after the time that the file gives.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        arguments: Mapping[str, str] | None = None,
        *,
        output: Output = lambda name, line: print(f"[{name}] {line}", flush=True),
    ) -> None:
        """Read the file; nothing is started. Raises LaunchError for what is wrong in it.

        `output` is called from another thread.
        """
        self._scratch = tempfile.TemporaryDirectory(prefix="launch_params_")
        try:
            self.processes = describe(Path(path), arguments or {}, Path(self._scratch.name))
        except LaunchError:
            self._scratch.cleanup()
            raise
        self.pids: dict[str, int] = {}
        self.exit_codes: dict[str, int] = {}
        """Of every process that ended, as a shell has it: 128 + n after signal n."""
        self.cause: str | None = None
        """The required process whose end stopped the rest, if that is what happened."""
        self._output = output
        self._thread = threading.Thread(target=self._run, name="launch", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._code: int | None = None

    def start(self) -> Launch:
        """Start all processes, and return without waiting for any."""
        if (
            signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            and threading.current_thread() is threading.main_thread()
        ):
            # As in a shell's background job: the processes would ignore it, too.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._thread.start()
        self._ready.wait()
        return self

    def poll(self) -> int | None:
        """None while anything runs; then the exit code of the whole.

        It is that of the required process that ended, else the first that is not 0, else 0.
        """
        return None if self._thread.is_alive() else self._code

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until everything ended, or for `timeout` seconds; returns what `poll` does."""
        self._thread.join(timeout)
        return self.poll()

    def request_stop(self) -> None:
        """Begin to stop everything, without waiting."""
        self._in_loop(lambda: self._stopping.set())

    def stop(self) -> int:
        """Stop everything and wait for it; returns the exit code of the whole."""
        self.request_stop()
        self._thread.join()
        assert self._code is not None
        return self._code

    def kill(self) -> None:
        """Send SIGKILL to everything at once, without waiting."""
        self.request_stop()
        self._in_loop(self._kill_all)

    def __enter__(self) -> Launch:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _kill_all(self) -> None:
        for pid in self.pids.values():
            _signal(pid, signal.SIGKILL)

    def _in_loop(self, action: Callable[[], object]) -> None:
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(action)
        except RuntimeError:  # the loop is closed: everything has ended already
            return

    def _run(self) -> None:
        try:
            asyncio.run(self._supervise())
            codes = list(self.exit_codes.values())
            first_failure = next((code for code in codes if code), 0)
            self._code = self.exit_codes[self.cause] if self.cause else first_failure
        finally:
            self._scratch.cleanup()
            self._ready.set()

    async def _supervise(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        tasks = [asyncio.create_task(self._keep(process)) for process in self.processes]
        await asyncio.sleep(0)
        self._ready.set()
        await asyncio.gather(*tasks)

    async def _keep(self, process: Process) -> None:
        """Run one process, again and again if it is to be respawned."""
        retries = process.respawn_max_retries
        while not self._stopping.is_set():
            code = await self._run_once(process)
            self.exit_codes[process.name] = code
            if self._stopping.is_set():
                return
            if process.required:
                self._say(f"{process.name} is required: stopping the rest")
                self.cause = process.name
                self._stopping.set()
            if not process.respawn or retries == 0:
                return
            retries -= 1
            await _wait_for(self._stopping.wait(), process.respawn_delay)

    async def _run_once(self, process: Process) -> int:
        """Start a process, wait for its end, and return its exit code."""
        # Pipes of our own: with asyncio's, waiting for the process would wait for their end, too,
        # which comes late or never if something that it started holds them.
        pipes = [await _Pipe.open(), await _Pipe.open()]
        try:
            child = await asyncio.create_subprocess_exec(
                *process.command,
                cwd=process.cwd,
                # Output comes as it is written, although it goes into a pipe.
                env={"PYTHONUNBUFFERED": "1", **process.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pipes[0].write_end,
                stderr=pipes[1].write_end,
                start_new_session=True,
            )
        except OSError as error:
            self._say(f"{process.name} cannot be started: {error}")
            return 127
        finally:
            for pipe in pipes:
                os.close(pipe.write_end)
        self.pids[process.name] = child.pid
        self._say(f"{process.name} started, pid {child.pid}")
        readers = [asyncio.create_task(self._pass_on(process.name, pipe)) for pipe in pipes]
        stop = asyncio.create_task(self._stop_when_told(process, child))
        code = await child.wait()
        stop.cancel()
        # What it started itself goes with it; only what left the group can still hold a pipe.
        _signal(child.pid, signal.SIGKILL)
        del self.pids[process.name]
        _, late = await asyncio.wait(readers, timeout=1.0)
        for reader in late:
            reader.cancel()
        self._say(f"{process.name} {_ending(code)}")
        return code if code >= 0 else 128 - code

    async def _stop_when_told(self, process: Process, child: asyncio.subprocess.Process) -> None:
        await self._stopping.wait()
        ladder = (
            (signal.SIGINT, process.sigterm_timeout),
            (signal.SIGTERM, process.sigkill_timeout),
        )
        for number, seconds in ladder:
            _signal(child.pid, number)
            await asyncio.sleep(seconds)
            self._say(f"{process.name} still runs {seconds:g} s after {number.name}")
        _signal(child.pid, signal.SIGKILL)

    async def _pass_on(self, name: str, pipe: _Pipe) -> None:
        """Give out whole lines; the rest at the end, or when it grows too long for a line."""
        rest = b""
        while data := await pipe.reader.read(LONGEST_LINE):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) >= LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._write(name, line.removesuffix(b"\r").decode(errors="replace"))
        if rest:
            self._write(name, rest.decode(errors="replace"))

    def _say(self, line: str) -> None:
        self._write("launch", line)

    def _write(self, name: str, line: str) -> None:
        try:
            self._output(name, line)
        except (OSError, ValueError):
            # Nobody can read the output any more (a closed pipe or terminal): end in order.
            self._output = lambda name, line: None
            self._stopping.set()


def _signal(group: int, number: int) -> None:
    """Signal a process group, if it is still there."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _ending(code: int) -> str:
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return "ended" if code == 0 else f"ended with exit code {code}"


async def _wait_for(awaitable: object, seconds: float) -> None:
    """Wait for something, but not longer than `seconds`."""
    try:
        await asyncio.wait_for(awaitable, seconds)  # type: ignore[arg-type]
    except asyncio.TimeoutError:
        return
