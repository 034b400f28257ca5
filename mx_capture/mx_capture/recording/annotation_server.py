"""A page on this machine alone, to mark expressions in a session: its data and its server."""

from __future__ import annotations

import csv
import json
import threading
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mx_capture.codecs import make_decoder
from mx_capture.errors import MxError
from mx_capture.files.session import SessionSource
from mx_capture.recording.annotations import (
    check_inside,
    label_from_entry,
    read_annotations,
    write_annotations,
)
from mx_capture.recording.session_info import SESSION_FILE, read_session
from mx_capture.stream import Frame, Label, Packet

RATE_BIN_US = 10_000
_PICTURE_US = 30_000
_PAGE = Path(__file__).parents[1] / "data" / "annotate.html"
_LONGEST_BODY = 10_000_000


class Annotator:
    """What the page shows and stores. Times on the page are microseconds from the session's start.

    Raises MxError when the session cannot be read, or `scores` is no table of scores.
    """

    def __init__(self, session: str | Path, scores: str | Path | None = None) -> None:
        """`scores`: a CSV with the column `stamp_ns` (ROS time) and one of 0..1 per Action Unit."""
        self.path = Path(session)
        self._source = SessionSource(session)
        self.start_ns = self._source.start_ns
        self.end_ns = self.start_ns + self._source.duration_ns
        self._subject = "unknown"
        if (self.path / SESSION_FILE).is_file():
            self._subject = read_session(self.path).subject
        self._reading = threading.Lock()
        self._frame_ns: list[int] = []
        self._recorded: list[Label] = []
        self._rate: list[int] = []
        self._scores = _read_scores(Path(scores), self.start_ns) if scores else None
        self._read()

    def overview(self) -> dict[str, Any]:
        """Everything but the pictures, as plain values."""
        return {
            "name": self._source.name,
            "subject": self._subject,
            "duration_us": (self.end_ns - self.start_ns) // 1_000,
            "frames_us": [(stamp_ns - self.start_ns) // 1_000 for stamp_ns in self._frame_ns],
            "has_events": self._source.event_size is not None,
            "rate_bin_us": RATE_BIN_US,
            "rate": self._rate,
            "scores": self._scores,
            "recorded": [self._to_page(label) for label in self._recorded],
            "labels": [self._to_page(label) for label in read_annotations(self.path)],
        }

    def frame_jpeg(self, index: int) -> bytes:
        """The frame of this number. Raises MxError when there is none."""
        if not 0 <= index < len(self._frame_ns):
            raise MxError(f"there is no frame {index}; the session has {len(self._frame_ns)}")
        stamp_ns = self._frame_ns[index]
        for item in self._between(stamp_ns - 1_000_000_000, stamp_ns + 1_000_000_000, "frames"):
            if isinstance(item, Frame) and item.stamp_ns == stamp_ns:
                image = item.image
                return _encoded(image if image.ndim == 2 else image[..., ::-1], ".jpg")
        raise MxError(f"frame {index} cannot be read again; the recording was changed")

    def events_png(self, time_us: int) -> bytes:
        """The events of the 30 ms before a time: brighter white, darker black, on grey."""
        if self._source.event_size is None:
            raise MxError(f"{self._source.name} has no events")
        height, width = self._source.event_size
        image = np.full((height, width), 128, np.uint8)
        end_ns = self.start_ns + time_us * 1_000
        decoder = None
        for packet in self._between(end_ns - _PICTURE_US * 1_000, end_ns, "events"):
            if isinstance(packet, Packet):
                decoder = decoder or make_decoder(packet.encoding, height, width)
                events = decoder.decode(packet.events, packet.time_base)
                image[events["y"], events["x"]] = np.where(events["p"], 255, 0)
        return _encoded(image, ".png")

    def store(self, entries: Any) -> int:
        """Replace the annotated labels; returns their number. MxError names the wrong one."""
        if not isinstance(entries, list):
            raise MxError("expected a list of labels")
        labels = []
        for number, entry in enumerate(entries, 1):
            where = f"label {number}"
            label = label_from_entry(self._from_page(entry, where), where)
            check_inside(label, self.start_ns, self.end_ns, where)
            labels.append(label)
        write_annotations(self.path, labels)
        return len(labels)

    def _read(self) -> None:
        """One pass: stamps of frames, recorded labels, events for each bin of the rate."""
        decoder = None
        bins = np.zeros((self.end_ns - self.start_ns) // (RATE_BIN_US * 1_000) + 1, np.int64)
        for item in self._source.items(["events", "frames", "labels"]):
            if isinstance(item, Frame):
                self._frame_ns.append(item.stamp_ns)
            elif isinstance(item, Label):
                self._recorded.append(item)
            else:
                decoder = decoder or make_decoder(item.encoding, item.height, item.width)
                t_us = decoder.decode(item.events, item.time_base)["t"]
                if len(t_us):
                    # Packets are stamped at their end, and may be longer than half a bin.
                    end_us = (item.stamp_ns - self.start_ns) // 1_000
                    index = (end_us - (t_us[-1] - t_us)) // RATE_BIN_US
                    np.add.at(bins, index.clip(0, len(bins) - 1), 1)
        self._rate = bins.tolist() if decoder else []

    def _between(self, begin_ns: int, end_ns: int, kind: str) -> list[Packet | Frame | Label]:
        with self._reading:
            return list(self._source.items([kind], begin_ns, end_ns))

    def _to_page(self, label: Label) -> dict[str, Any]:
        entry = asdict(label)
        for name in ("onset", "apex", "offset"):
            entry[f"{name}_us"] = (entry.pop(f"{name}_ns") - self.start_ns) // 1_000
        return entry

    def _from_page(self, entry: Any, where: str) -> dict[str, Any]:
        if not isinstance(entry, dict):
            raise MxError(f"{where} is no label")
        converted = dict(entry)
        for name in ("onset", "apex", "offset"):
            value = converted.pop(f"{name}_us", None)
            if type(value) is not int:
                raise MxError(f"{where}: {name}_us={value!r} is no number of microseconds")
            converted[f"{name}_ns"] = self.start_ns + value * 1_000
        return converted


def make_server(annotator: Annotator, port: int = 0) -> ThreadingHTTPServer:
    """The server on 127.0.0.1; `port` 0 takes a free one. Raises MxError when it is taken."""

    class Handler(_Handler):
        session = annotator

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise MxError(
            f"port {port} cannot be used: {error.strerror}; give another --port"
        ) from error


class _Handler(BaseHTTPRequestHandler):
    session: Annotator

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, *_: object) -> None:
        """The terminal stays quiet."""

    def _get(self) -> tuple[str, bytes]:
        if self.path == "/":
            return "text/html; charset=utf-8", _PAGE.read_bytes()
        if self.path == "/session.json":
            return "application/json", json.dumps(self.session.overview()).encode()
        _, kind, *rest = self.path.split("/")
        if kind == "frame" and len(rest) == 1 and rest[0].isdigit():
            return "image/jpeg", self.session.frame_jpeg(int(rest[0]))
        if kind == "events" and len(rest) == 1 and rest[0].isdigit():
            return "image/png", self.session.events_png(int(rest[0]))
        raise FileNotFoundError(self.path)

    def _post(self) -> tuple[str, bytes]:
        if self.path != "/labels":
            raise FileNotFoundError(self.path)
        if self.headers.get("Content-Type") != "application/json":
            # Browsers send this type to other origins only after asking, and nobody answers.
            raise PermissionError
        length = int(self.headers.get("Content-Length") or 0)
        if length > _LONGEST_BODY:
            raise MxError("too much data for a list of labels")
        try:
            entries = json.loads(self.rfile.read(length))
        except ValueError as error:
            raise MxError("the labels are no readable JSON") from error
        return "application/json", json.dumps({"stored": self.session.store(entries)}).encode()

    def _answer(self, make: Any) -> None:
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        status, kind = HTTPStatus.OK, "text/plain; charset=utf-8"
        try:
            if host not in ("127.0.0.1", "localhost"):
                raise PermissionError  # A page of another site that resolves to this machine.
            kind, body = make()
        except MxError as error:
            status, body = HTTPStatus.BAD_REQUEST, str(error).encode()
        except PermissionError:
            status, body = HTTPStatus.FORBIDDEN, b"only for pages of this server"
        except FileNotFoundError:
            status, body = HTTPStatus.NOT_FOUND, b"there is no such page"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


def _encoded(image: np.ndarray, suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, image)
    if not done:
        raise MxError(f"a picture of {image.shape} cannot be encoded as {suffix}")
    return data.tobytes()


def _read_scores(path: Path, start_ns: int) -> dict[str, Any]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        names = [name for name in rows[0] if name != "stamp_ns"] if rows else []
        return {
            "names": names,
            "times_us": [(int(row["stamp_ns"]) - start_ns) // 1_000 for row in rows],
            "values": [[float(row[name]) for name in names] for row in rows],
        }
    except OSError as error:
        raise MxError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise MxError(
            f"{path} is no table of scores; expected the columns stamp_ns, AU01, AU02, ..."
        ) from error
