"""The page of `./mx view` in a real browser, fed with a person who moves."""

import threading
import time

import numpy as np
import pytest
from browser import Browser, needs_browser
from drawn_face import drawn_face
from mx_capture.codecs import Evt3Encoder
from mx_capture.roi import Roi
from mx_capture.stream import EVENT_DTYPE, Frame, Label, Packet
from mx_perception.action_units import AU_NUMBERS
from mx_perception.live_view import LiveView
from mx_perception.overlay import Boxes
from mx_perception.page.health import Reports
from mx_perception.page.server import PageServer
from mx_perception.page.state import PageState
from mx_perception.spotter import APEX, OFFSET, ONSET, MicroExpression

pytestmark = needs_browser
MS = 1_000_000
PAINTED = """(() => {{
  const canvas = document.querySelector({selector!r});
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return data.some((value) => value > 0);
}})()"""


class Person(threading.Thread):
    """Fills a page's state, as a graph would, until told to stop."""

    def __init__(self, page):
        super().__init__(daemon=True)
        self.page, self.ended = page, threading.Event()
        self.faces = ("f00000",)

    def run(self):
        picture, encoder = drawn_face(240, 320, (160, 120), 100), Evt3Encoder(240, 320)
        random, begin_ns = np.random.default_rng(1), time.time_ns()
        for step in range(100_000):
            now_ns, live = begin_ns + step * 20 * MS, self.page.live
            events = np.zeros(80, EVENT_DTYPE)
            events["t"] = step * 20_000 + np.sort(random.integers(0, 20_000, 80))
            events["x"], events["y"] = random.integers(0, (320, 240), (80, 2)).T
            events["p"] = random.integers(0, 2, 80)
            live.add_packet(
                Packet(now_ns, step, "evt3", 240, 320, begin_ns, encoder.encode(events))
            )
            live.add_frame(Frame(now_ns, picture))
            rois = {name: Roi(100.0 + 5 * i, 60, 120, 120) for i, name in enumerate(self.faces)}
            live.add_faces(Boxes(now_ns, False, rois))
            for name in self.faces:
                score = (0.5 + 0.5 * np.sin(step / 10 + np.arange(14))).astype(np.float32)
                live.add_scores(now_ns, name, AU_NUMBERS, score)
            if step % 50 == 25:
                times = [now_ns - 300 * MS, now_ns - 200 * MS, now_ns]
                for phase in (ONSET, APEX, OFFSET):
                    live.add_expression(MicroExpression("f00000", 12, phase, *times, 0.8))
                live.add_label(Label("s01", (12,), (0.5,), *times, "simulator", "micro"))
            self.page.reports.add("/au_classifier_node", 0, "ok", {"state": "active"})
            self.page.reports.add("/event_tensor_node", 1, "lost_packets +5: slow down", {})
            if self.ended.wait(max(0.0, (now_ns - time.time_ns()) / 1e9)):
                return


@pytest.fixture(scope="module")
def page():
    page = PageState(LiveView(), Reports())
    person = Person(page)
    person.start()
    page.person = person
    yield page
    person.ended.set()
    person.join()


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    server = PageServer(page, "127.0.0.1", 0, token="secret")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/?token=secret"
    browser = Browser(address, tmp_path_factory.mktemp("profile"))
    browser.until("document.getElementById('status')?.textContent === 'a node warns'")
    yield browser
    browser.process.kill()
    browser.process.wait()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("size", [(1280, 800), (820, 1180), (390, 844)])
def test_everything_is_drawn_and_fits(browser, size):
    width, height = size
    browser.ask(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=1,
        mobile=False,
    )
    for selector in ("#rgb canvas", "#dvs canvas", "#traces"):
        browser.until(PAINTED.format(selector=selector))
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("[...document.querySelectorAll('.empty')].every((e) => e.hidden)")
    text = "document.getElementById('recent').innerText"
    browser.until(f"{text}.includes('AU12 lip corner puller')")
    health = browser.run("document.getElementById('health').innerText")
    assert "lost_packets +5: slow down" in health and "au_classifier_node" in health
    assert browser.run("location.search") == "", "the token is still in the address"


def test_one_of_several_faces_is_chosen_and_the_page_stands_still_when_told(browser, page):
    assert browser.run("document.querySelectorAll('#faces button').length") == 0
    page.person.faces = ("f00000", "f00001")
    browser.until("document.querySelectorAll('#faces button').length === 2")
    browser.run("document.querySelectorAll('#faces button')[1].click()")
    browser.until("document.getElementById('reading').textContent.startsWith('f00001')")
    browser.run("document.getElementById('pause').click()")
    before = browser.run("state.now_us")
    time.sleep(0.5)
    assert browser.run("state.now_us") == before
    browser.run("document.getElementById('pause').click()")
    browser.until(f"state.now_us > {before}")


def test_a_graph_that_ends_is_told(browser, page):
    page.person.ended.set()
    browser.until("document.getElementById('status').textContent === 'a node is silent'")
    browser.until("!document.querySelector('#rgb .empty').hidden")
