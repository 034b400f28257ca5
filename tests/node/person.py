"""A session that is made in a moment: a drawn face, and events all over it."""

import numpy as np
from drawn_face import drawn_face
from mx_capture.codecs import Evt3Encoder
from mx_capture.recording.session_info import Consent, SessionInfo
from mx_capture.recording.session_writer import write_session
from mx_capture.stream import EVENT_DTYPE, Frame, Packet

HEIGHT, WIDTH = 240, 320
START_NS, PACKET_NS = 5_000_000_000, 4_000_000


class Person:
    """Four seconds of a face and of events in it."""

    name, event_size, frame_size = "person", (HEIGHT, WIDTH), (HEIGHT, WIDTH)
    start_ns, duration_ns = START_NS, 4_000_000_000

    def __iter__(self):
        encoder, random = Evt3Encoder(HEIGHT, WIDTH), np.random.default_rng(1)
        picture = drawn_face(HEIGHT, WIDTH, (WIDTH // 2, HEIGHT // 2), 100)
        for i in range(1000):
            stamp_ns = START_NS + i * PACKET_NS
            events = np.zeros(60, EVENT_DTYPE)
            events["t"] = i * PACKET_NS // 1000 + np.sort(random.integers(0, 4000, 60))
            events["x"], events["y"] = random.integers(0, (WIDTH, HEIGHT), (60, 2)).T
            data = encoder.encode(events)
            yield Packet(stamp_ns, i, "evt3", HEIGHT, WIDTH, START_NS, data)
            if i % 8 == 0:
                yield Frame(stamp_ns, picture)


def write_person(path):
    """Write the session; returns its folder."""
    write_session(Person(), path, SessionInfo("s01", Consent("not needed")))
    return path
