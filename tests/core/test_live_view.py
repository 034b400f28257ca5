"""What the overlay and the live page show of a running graph."""

import numpy as np
from mx_capture.codecs import Evt3Encoder
from mx_capture.roi import Roi
from mx_capture.stream import EVENT_DTYPE, Frame, Label, Packet
from mx_perception.live_view import LiveView
from mx_perception.overlay import HEIGHT, WIDTH, Boxes, Mark, draw
from mx_perception.spotter import APEX, OFFSET, ONSET, MicroExpression

MS = 1_000_000
START = 50_000 * MS


def packet(seq, stamp_ns, x=5):
    events = np.zeros(3, EVENT_DTYPE)
    events["x"], events["y"], events["p"], events["t"] = x, 7, 1, seq * 1000
    return Packet(stamp_ns, seq, "evt3", 24, 32, 0, Evt3Encoder(24, 32).encode(events))


def phase(kind, score=0.8, au=12, face="f00000"):
    times = [START + 10 * MS, START + 60 * MS if kind else 0, START + 90 * MS if kind == 2 else 0]
    return MicroExpression(face, au, kind, *times, score)


def test_events_of_the_last_33_ms_are_shown():
    live = LiveView()
    assert live.events() is None
    live.add_packet(packet(0, START, x=3))
    live.add_packet(packet(1, START + 20 * MS, x=9))
    stamp, picture = live.events()
    assert stamp == START + 20 * MS and picture.shape == (24, 32, 3)
    background = picture[0, 0]
    assert (picture[7, 3] != background).any() and (picture[7, 9] != background).any()
    live.add_packet(packet(2, START + 40 * MS, x=20))
    _, picture = live.events()
    assert (picture[7, 3] == background).all() and (picture[7, 20] != background).any()


def test_packets_of_no_known_encoding_are_counted_and_left_out():
    live = LiveView()
    live.add_packet(Packet(START, 0, "nonsense", 24, 32, 0, b"1234"))
    assert live.counters["bad_packets"] == 1 and live.events() is None


def test_boxes_are_placed_in_the_other_image_and_fade_when_they_are_old():
    live = LiveView()
    live.add_frame(Frame(START, np.zeros((48, 64, 3), np.uint8)))
    live.add_packet(packet(0, START))
    live.add_faces(Boxes(START, False, {"f00000": Roi(10, 20, 30, 20)}))
    assert live.placed_boxes(in_events=False)["f00000"] == Roi(10, 20, 30, 20)
    assert live.placed_boxes(in_events=True)["f00000"] == Roi(5, 10, 15, 10)
    assert live.faces() == ["f00000"]
    live.add_packet(packet(1, START + 2_000 * MS))
    assert live.placed_boxes(in_events=False) == {} and live.faces() == []


def test_scores_are_kept_for_twelve_seconds_and_given_once():
    live = LiveView()
    for hop in range(1500):
        score = np.full(2, hop / 1500, np.float32)
        live.add_scores(START + hop * 10 * MS, "f00000", (1, 12), score)
    stamps, scores = live.scores("f00000")
    assert len(stamps) == 1201 and scores.shape == (1201, 2)
    later, _ = live.scores("f00000", after_ns=int(stamps[-3]))
    assert later.tolist() == stamps[-2:].tolist()
    nobody, none = live.scores("f00009")
    assert nobody.shape == (0,) and none.shape == (0, 2)


def test_marks_stand_where_the_phase_was_and_go_when_it_is_withdrawn():
    live = LiveView()
    live.add_scores(START, "f00000", (12,), np.zeros(1, np.float32))
    for kind in (ONSET, APEX, OFFSET):
        live.add_expression(phase(kind))
    assert [(mark.phase, mark.stamp_ns - START) for mark in live.marks("f00000")] == [
        (ONSET, 10 * MS),
        (APEX, 60 * MS),
        (OFFSET, 90 * MS),
    ]
    live.add_expression(phase(OFFSET, score=0.0))
    assert live.marks("f00000") == []


def test_a_step_back_in_time_begins_anew():
    live = LiveView()
    live.add_scores(START, "f00000", (12,), np.zeros(1, np.float32))
    live.add_frame(Frame(START, np.zeros((4, 4, 3), np.uint8)))
    live.add_scores(START - 5_000 * MS, "f00000", (12,), np.ones(1, np.float32))
    assert live.counters["time_steps"] == 1
    assert live.frame is None and len(live.scores("f00000")[0]) == 1


def test_the_overlay_draws_whatever_is_there():
    live = LiveView()
    empty = draw(live.view())
    assert empty.shape == (HEIGHT, WIDTH, 3)
    live.add_frame(Frame(START, np.full((48, 64, 3), 200, np.uint8)))
    live.add_packet(packet(0, START))
    live.add_faces(Boxes(START, False, {"f00000": Roi(10, 20, 30, 20), "f00001": Roi(60, 0, 9, 9)}))
    live.add_reconstruction("f00000", Frame(START, np.full((128, 128), 90, np.uint8)))
    live.add_label(Label("s01", (12,), (0.5,), START - MS, START, START + MS, "simulator", "micro"))
    live.add_scores(START, "f00000", (1, 12), np.array([0.1, 0.9], np.float32))
    live.add_expression(phase(ONSET))
    view = live.view()
    assert view.face_id == "f00000" and view.marks == [Mark(START + 10 * MS, "f00000", 12, ONSET)]
    assert (draw(view) != empty).any()
    assert live.view("f00001").scores.shape == (0, 2)


def test_what_is_older_than_the_picture_leaves_it_even_when_it_is_the_only_one():
    live = LiveView()
    now = START + 60_000 * MS
    live.add_scores(now, "f00000", (12,), np.zeros(1, np.float32))
    live.add_expression(phase(ONSET))
    live.add_label(Label("p01", (12,), (0.5,), START, START + MS, START + 2 * MS, "", ""))
    assert not live._marks and not live._labels
