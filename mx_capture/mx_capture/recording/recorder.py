"""Records messages as they arrive: a bounded queue, and one thread that writes."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from mx_capture.config import setting
from mx_capture.errors import MxError
from mx_capture.recording import qos
from mx_capture.recording.cdr import string_to_cdr
from mx_capture.recording.message_types import ensure_type
from mx_capture.recording.writer import RecordingWriter, WriterConfig

MARKS_TOPIC = "/marks"
STRING_TYPE = "std_msgs/msg/String"

_MB = 1_000_000
_IDLE_S = 0.02


@dataclass(frozen=True)
class RecorderConfig(WriterConfig):
    """How a recording is written, and how much may wait for a slow disk."""

    queue_mb: int = setting(
        512, "Messages are dropped, and counted, when more megabytes wait", minimum=1
    )


@dataclass
class RecorderCounters:
    """Messages by topic, and the queue in bytes. Received is written + dropped + waiting."""

    received: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    bytes_written: int = 0
    queue_bytes: int = 0
    longest_queue_bytes: int = 0


class Recorder:
    """Takes serialised messages from any thread and writes them in the order of their arrival.

    A message that does not fit the queue is dropped and counted, never waited for. When the disk
    is full, `error` tells, the recording is closed, and what still arrives counts as dropped.
    """

    def __init__(self, path: str | Path, config: RecorderConfig | None = None) -> None:
        """Create the bag folder `path`; raises MxError as RecordingWriter does."""
        self._config = config or RecorderConfig()
        self._writer = RecordingWriter(path, self._config)
        self.path = self._writer.path
        self.counters = RecorderCounters()
        self.error: str | None = None
        self._queue: deque[tuple[str, str, int, bytes]] = deque()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder")
        self._thread.start()

    def add_topic(self, topic: str, type_name: str, offered: tuple[qos.Qos, ...] = ()) -> None:
        """Announce a topic; raises MxError when its type's package is not installed."""
        ensure_type(type_name)
        with self._writing:
            self._writer.add_topic(topic, type_name, offered)

    def add(self, topic: str, type_name: str, stamp_ns: int, cdr: bytes) -> bool:
        """Queue one message with the ROS time in ns of its arrival; False when it was dropped."""
        with self._lock:
            counters = self.counters
            counters.received[topic] += 1
            full = counters.queue_bytes + len(cdr) > self._config.queue_mb * _MB
            if full or self._stopping.is_set() or self.error is not None:
                counters.dropped[topic] += 1
                return False
            self._queue.append((topic, type_name, stamp_ns, cdr))
            counters.queue_bytes += len(cdr)
            counters.longest_queue_bytes = max(counters.longest_queue_bytes, counters.queue_bytes)
            return True

    def mark(self, text: str, stamp_ns: int) -> bool:
        """Write a remark on `/marks`; False when it was dropped."""
        return self.add(MARKS_TOPIC, STRING_TYPE, stamp_ns, string_to_cdr(text))

    def stop(self) -> RecorderCounters:
        """Write what waits and close the bag; raises MxError if it could not be written."""
        with self._lock:
            self._stopping.set()
        self._thread.join()
        if self.error is not None:
            raise MxError(self.error)
        return self.counters

    def _run(self) -> None:
        # The queue is looked at now and then: waking this thread for each message would cost the
        # threads that receive them more than the writing does.
        try:
            while self._write_waiting() or not self._stopping.wait(_IDLE_S):
                pass
            self._write_waiting()
            self._writer.close()
        except MxError as error:
            with self._lock:
                self.error = str(error)
                for topic, *_ in self._queue:
                    self.counters.dropped[topic] += 1
                self._queue.clear()
                self.counters.queue_bytes = 0

    def _write_waiting(self) -> bool:
        """Write all that waits; False when there was nothing."""
        found = bool(self._queue)
        while self._queue:
            topic, _, _, cdr = message = self._queue[0]
            with self._writing:
                self._writer.write(*message)
            with self._lock:
                self._queue.popleft()
                self.counters.queue_bytes -= len(cdr)
                self.counters.written[topic] += 1
                self.counters.bytes_written += len(cdr)
        with self._writing:
            self._writer.flush_if_due()
        return found
