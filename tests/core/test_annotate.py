"""Labels beside a recording: the file, the CSV, and the server of the page."""

import json
import threading
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
from mx_capture.codecs import Evt3Encoder
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.recording.annotation_server import Annotator, make_server
from mx_capture.recording.annotations import read_annotations, write_annotations
from mx_capture.recording.session_info import Consent, SessionInfo
from mx_capture.recording.session_writer import write_session
from mx_capture.stream import EVENT_DTYPE, Frame, Label, Packet
from mx_capture.verbs.annotate import main

START = 1_700_000_000_000_000_000


class TinySource:
    name, event_size, frame_size = "tiny", (24, 32), (24, 32)
    start_ns, duration_ns = START, 200_000_000

    def __iter__(self):
        encoder = Evt3Encoder(24, 32)
        for i in range(20):
            events = np.zeros(i + 1, EVENT_DTYPE)
            events["t"], events["x"], events["p"] = i * 10_000, np.arange(i + 1), 1
            stamp_ns = START + i * 10_000_000
            yield Packet(stamp_ns, i, "evt3", 24, 32, START, encoder.encode(events))
            if i % 4 == 0:
                yield Frame(stamp_ns, np.full((24, 32, 3), 10 * i, np.uint8))
        yield label(0, 20, 150, source="simulator")


def label(onset_ms, apex_ms, offset_ms, source="annotator", au=(6, 12)):
    times = (START + ms * 1_000_000 for ms in (onset_ms, apex_ms, offset_ms))
    return Label("s01", au, (0.5,) * len(au), *times, source, "micro")


@pytest.fixture
def session(tmp_path):
    write_session(TinySource(), tmp_path / "s", SessionInfo("s01", Consent("not needed")))
    return tmp_path / "s"


@pytest.fixture
def page(session):
    server = make_server(Annotator(session))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(address, data=None, **headers):
    request = urllib.request.Request(address, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


def post(page, entries):
    body = json.dumps(entries).encode()
    return json.loads(fetch(f"{page}/labels", body, **{"Content-Type": "application/json"}))


def test_annotations_round_trip_and_join_the_session(session):
    write_annotations(session, [label(50, 60, 70), label(10, 20, 30)])
    assert read_annotations(session) == [label(10, 20, 30), label(50, 60, 70)]
    found = [item for item in open_source(session) if isinstance(item, Label)]
    assert [item.source for item in found] == ["annotator", "annotator", "simulator"]


def test_labels_of_a_bag_are_not_put_into_it(session, tmp_path):
    write_annotations(session / "recording", [label(10, 20, 30)])
    assert read_annotations(session) == [label(10, 20, 30)]
    (session / "recording").rename(tmp_path / "bag")
    write_annotations(tmp_path / "bag", [label(1, 2, 3)])
    assert (tmp_path / "bag.labels.yaml").is_file()
    assert read_annotations(tmp_path / "bag") == [label(1, 2, 3)]


def test_the_overview(page):
    overview = json.loads(fetch(f"{page}/session.json"))
    assert overview["subject"] == "s01" and overview["has_events"]
    assert overview["frames_us"] == [0, 40_000, 80_000, 120_000, 160_000]
    assert overview["rate"] == list(range(1, 21))
    assert [item["onset_us"] for item in overview["recorded"]] == [0]
    assert overview["labels"] == []


def test_the_pictures(page):
    frame = cv2.imdecode(np.frombuffer(fetch(f"{page}/frame/2"), np.uint8), cv2.IMREAD_COLOR)
    assert frame.shape == (24, 32, 3) and abs(int(frame.mean()) - 80) < 3
    events = cv2.imdecode(np.frombuffer(fetch(f"{page}/events/100000"), np.uint8), 0)
    assert events[0, :10].tolist() == [255] * 10 and np.all(events[1:] == 128)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        fetch(f"{page}/frame/9")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(f"{page}/../session.yaml")


def entry(**change):
    values = {"subject": "s01", "au": [4], "intensity": [0.3], "source": "annotator"}
    times = {"onset_us": 10_000, "apex_us": 20_000, "offset_us": 30_000}
    return {**values, **times, "condition": "", **change}


def test_labels_are_stored_beside_the_recording(page, session):
    before = (session / "recording" / "recording_0.mcap").read_bytes()
    assert post(page, [entry()]) == {"stored": 1}
    [stored] = read_annotations(session)
    assert (stored.au, stored.onset_ns, stored.offset_ns) == (
        (4,),
        START + 10**7,
        START + 3 * 10**7,
    )
    assert json.loads(fetch(f"{page}/session.json"))["labels"][0]["apex_us"] == 20_000
    assert (session / "recording" / "recording_0.mcap").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"onset_us": 25_000}, "label 1: onset, apex and offset"),
        ({"offset_us": 900_000}, "outside its session"),
        ({"apex_us": "x"}, "apex_us='x'"),
        ({"au": []}, "0 Action Units with 1"),
        ({"intensity": [7]}, "outside 0 to 1"),
        ({"colour": 1}, "unknown entry 'colour'"),
    ],
)
def test_wrong_labels_are_refused(page, session, change, message):
    with pytest.raises(urllib.error.HTTPError, match="400") as caught:
        post(page, [entry(**change)])
    assert message in caught.value.read().decode()
    assert read_annotations(session) == []


def test_other_sites_cannot_use_the_server(page):
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetch(f"{page}/session.json", Host="example.org:80")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetch(f"{page}/labels", b"[]", **{"Content-Type": "text/plain"})


def test_csv(session, tmp_path):
    path = tmp_path / "labels.csv"
    head = "subject,au,intensity,onset_ns,apex_ns,offset_ns,condition\n"
    rows = f"s01,AU06 12,0.5 0.25,{START},{START + 5},{START + 10},micro\n"
    path.write_text(head + rows)
    assert main([str(session), "--csv", str(path)]) == 0
    [stored] = read_annotations(session)
    assert (stored.au, stored.intensity, stored.source) == ((6, 12), (0.5, 0.25), "annotator")
    path.write_text(head + rows + f"s01,1,0.5,{START},{START + 5},{START + 10**12},\n")
    with pytest.raises(MxError, match="line 3: the label from"):
        main([str(session), "--csv", str(path)])
    path.write_text(head + "s01,1,much,1,2,3,\n")
    with pytest.raises(MxError, match=r"line 2: could not convert"):
        main([str(session), "--csv", str(path)])
    path.write_text("x,y\n1,2\n")
    with pytest.raises(MxError, match="unknown entry 'x'"):
        main([str(session), "--csv", str(path)])


def test_scores(session, tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text(f"stamp_ns,AU01,AU12\n{START + 1_000_000},0.1,0.9\n")
    scores = Annotator(session, path).overview()["scores"]
    assert scores == {"names": ["AU01", "AU12"], "times_us": [1_000], "values": [[0.1, 0.9]]}
    path.write_text("AU01\n0.5\n")
    with pytest.raises(MxError, match="no table of scores"):
        Annotator(session, path)


def test_a_damaged_labels_file_is_named(session):
    (session / "labels.yaml").write_text("- {au: [1]}\n")
    with pytest.raises(MxError, match=r"labels\.yaml, label 1: the entry 'subject' is missing"):
        open_source(session)
