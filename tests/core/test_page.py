"""The live page: who is answered, and with what."""

import http.client
import json
import threading

import cv2
import numpy as np
import pytest
from mx_capture.errors import MxError
from mx_capture.roi import Roi
from mx_capture.stream import Frame
from mx_perception.live_view import LiveView
from mx_perception.overlay import Boxes
from mx_perception.page.health import Reports
from mx_perception.page.server import PageServer
from mx_perception.page.state import PageState

STAMP = 1_795_000_000_123_456_000


@pytest.fixture
def page():
    return PageState(LiveView(), Reports())


@pytest.fixture
def serve(page):
    servers = []

    def start(host="127.0.0.1", token=""):
        server = PageServer(page, host, 0, token)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def get(port, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_page_needs_nothing_from_elsewhere(serve):
    answer, body = get(serve(), "/")
    assert answer.status == 200 and b"<canvas" in body
    assert b"http://" not in body and b"https://" not in body
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_state_holds_scores_once_boxes_as_shares_and_nodes(page, serve):
    port = serve()
    page.live.add_frame(Frame(STAMP, np.zeros((50, 100, 3), np.uint8)))
    page.live.add_faces(Boxes(STAMP, False, {"f00003": Roi(10, 10, 20, 25)}))
    for hop in range(3):
        score = np.array([0.25, 0.75], np.float32)
        page.live.add_scores(STAMP + hop * 10_000_000, "f00003", (1, 12), score)
    page.reports.add("/au_classifier_node", 1, "it is slow; free a core", {"state": "active"})
    state = json.loads(get(port, "/state.json")[1])
    assert (state["face"], state["au"], len(state["scores"])) == ("f00003", [1, 12], 3)
    assert state["expression"]["name"] == "happy"
    assert state["rgb_boxes"] == {"f00003": [0.1, 0.2, 0.2, 0.5]}
    assert state["nodes"][0]["level"] == "warn"
    last = state["times_us"][-1]
    assert last == (STAMP + 20_000_000) // 1000
    again = json.loads(get(port, f"/state.json?face=f00003&after={last}")[1])
    assert again["times_us"] == []
    other = json.loads(get(port, f"/state.json?face=f00000&after={last}")[1])
    assert other["face"] == "f00003" and len(other["times_us"]) == 3


def test_pictures_come_once_and_not_larger_than_needed(page, serve):
    port = serve()
    page.live.add_frame(Frame(STAMP, np.full((720, 1280, 3), (250, 0, 0), np.uint8)))
    answer, body = get(port, "/rgb")
    image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (360, 640, 3)
    assert image[100, 100, 2] > 230 > 20 > image[100, 100, 0]
    stamp = answer.headers["X-Stamp-Us"]
    assert int(stamp) == STAMP // 1000
    assert get(port, f"/rgb?after={stamp}")[0].status == 204
    assert get(port, "/events")[0].status == 204


def test_other_sites_names_and_unknown_paths_are_refused(serve):
    port = serve()
    assert get(port, "/", Host="evil.example:80")[0].status == 403
    assert get(port, "/state.json", Host="evil.example")[0].status == 403
    assert get(port, "/../mx")[0].status == 404


def test_with_a_token_only_those_who_know_it_are_answered(serve):
    port = serve("0.0.0.0", token="secret")
    for path in ("/", "/state.json", "/rgb", "/?token=wrong"):
        assert get(port, path)[0].status == 403
    answer, _ = get(port, "/?token=secret")
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert get(port, "/state.json", Cookie=cookie.partition(";")[0])[0].status == 200
    assert get(port, "/state.json", Cookie="mx_view=secrets")[0].status == 403


def test_an_address_open_to_others_needs_a_token(page):
    with pytest.raises(MxError, match="token"):
        PageServer(page, "0.0.0.0", 0)


def test_a_taken_or_impossible_port_is_named(page, serve):
    port = serve()
    for wrong in (port, 99_999):
        with pytest.raises(MxError, match=f"127.0.0.1:{wrong} cannot be used"):
            PageServer(page, "127.0.0.1", wrong)


def test_nodes_that_fall_silent_are_told_and_the_worst_comes_first():
    now = 100.0
    reports = Reports(lambda: now)
    reports.add("/event_tensor_node", 0, "ok", {"events_hz": "1234567.0"})
    reports.add("/face_detector_node", 2, "no model", {"frames_hz": "29.98"})
    assert [node["level"] for node in reports.nodes()] == ["error", "ok"]
    values = {tile["title"]: tile["value"] for tile in reports.tiles()}
    assert (values["events"], values["RGB frames"]) == ("1.23 M", "30")
    assert (values["lost packets"], values["missed tensors"]) == ("0", "-")
    latencies = {"event_to_au_ms_p50": "7.96", "event_to_au_ms_p99": "174.84"}
    reports.add("/au_classifier_node", 0, "ok", latencies)
    values = {tile["title"]: tile["value"] for tile in reports.tiles()}
    assert values["event to score"] == "8.0 / 175"
    now = 104.0
    reports.add("/face_detector_node", 0, "ok", {})
    reports.add("/au_classifier_node", 0, "ok", {})
    first = reports.nodes()[0]
    assert (first["name"], first["level"]) == ("/event_tensor_node", "silent")
