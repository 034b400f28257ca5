"""The page of `./mx annotate` in a real browser, driven by its own debugging protocol."""

import threading

import numpy as np
import pytest
from browser import Browser, needs_browser
from mx_capture.codecs import Evt3Encoder
from mx_capture.recording.annotation_server import Annotator, make_server
from mx_capture.recording.annotations import read_annotations
from mx_capture.recording.session_info import Consent, SessionInfo
from mx_capture.recording.session_writer import write_session
from mx_capture.stream import EVENT_DTYPE, Frame, Label, Packet

START = 1_700_000_000_000_000_000
SECONDS = 20
pytestmark = needs_browser


class Source:
    name, event_size, frame_size = "page", (48, 64), (48, 64)
    start_ns, duration_ns = START, SECONDS * 1_000_000_000

    def __iter__(self):
        encoder = Evt3Encoder(48, 64)
        random = np.random.default_rng(1)
        for i in range(SECONDS * 50):
            events = np.zeros(random.integers(20, 60) + (300 if 240 <= i < 260 else 0), EVENT_DTYPE)
            events["t"] = np.sort(random.integers(0, 20_000, len(events))) + i * 20_000
            events["x"] = random.integers(0, 64, len(events))
            events["y"] = random.integers(0, 48, len(events))
            stamp_ns = START + i * 20_000_000
            yield Packet(stamp_ns, i, "evt3", 48, 64, START, encoder.encode(events))
            if i % 2 == 0:
                yield Frame(stamp_ns, np.full((48, 64, 3), i % 250, np.uint8))
            if i == 300:
                times = (START + ms * 1_000_000 for ms in (4_800, 5_000, 5_300))
                yield Label("s01", (6, 12), (0.5, 0.5), *times, "simulator", "micro")


@pytest.fixture
def session(tmp_path):
    write_session(Source(), tmp_path / "s", SessionInfo("s01", Consent("not needed")))
    return tmp_path / "s"


@pytest.fixture
def browser(session, tmp_path):
    scores = tmp_path / "scores.csv"
    rows = (f"{START + i * 100_000_000},{i % 10 / 10},0.8" for i in range(SECONDS * 10))
    scores.write_text("\n".join(["stamp_ns,AU06,AU12", *rows]))
    server = make_server(Annotator(session, scores))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    browser = Browser(f"http://127.0.0.1:{server.server_address[1]}/", tmp_path / "profile")
    yield browser
    browser.close()
    server.shutdown()
    thread.join()
    server.server_close()


def id_(name):
    return f"document.getElementById('{name}')"


def press_onset_apex_offset(browser, begin_us):
    for key, later_us in (("o", 0), ("a", 60_000), ("f", 200_000)):
        browser.run(f"seek({begin_us + later_us})")
        browser.press(key)


def test_a_label_is_marked_saved_and_changed(browser, session):
    browser.until("typeof session !== 'undefined' && document.title.startsWith('s ')")
    assert browser.run("document.querySelectorAll('#labels tr').length") == 1
    press_onset_apex_offset(browser, 5_000_000)
    browser.click(id_("au4"))
    browser.click(id_("other"))
    browser.press("2")
    browser.press("3")
    browser.click(id_("add"))
    assert browser.run(f"{id_('status')}.textContent") == "added; not saved yet"
    browser.click(id_("save"))
    browser.until(f"{id_('status')}.textContent === 'saved 1 labels'")
    [label] = read_annotations(session)
    assert (label.subject, label.au, label.source) == ("s01", (4, 23), "annotator")
    times = [(ns - START) // 1_000 for ns in (label.onset_ns, label.apex_ns, label.offset_ns)]
    assert times == [5_000_000, 5_060_000, 5_200_000]

    browser.click("[...document.querySelectorAll('#labels button')].find("
                  "(b) => b.textContent === 'edit')")  # fmt: skip
    assert browser.run(f"{id_('add')}.textContent") == "replace label"
    assert browser.run("to - from") == 600_000, "the graph shows the label from near"
    browser.press(".")
    browser.press("a")
    browser.click(id_("add"))
    browser.click(id_("save"))
    browser.until(f"{id_('status')}.textContent === 'saved 1 labels'")
    [label] = read_annotations(session)
    assert ((label.apex_ns - START) // 1_000, label.au) == (5_061_000, (4, 23))
    assert len(browser.picture()) > 10_000


def test_what_is_missing_is_said(browser):
    browser.until("typeof session !== 'undefined' && document.title.startsWith('s ')")
    said = f"{id_('status')}.textContent"
    browser.click(id_("add"))
    assert browser.run(said) == "mark onset, apex and offset first"
    press_onset_apex_offset(browser, 1_000_000)
    browser.click(id_("add"))
    assert browser.run(said) == "choose at least one Action Unit"
    browser.run("mark('onset')")
    browser.click(id_("add"))
    assert browser.run(said) == "onset, apex and offset are not in this order"


def test_zooming_keeps_what_is_looked_at(browser):
    browser.until("typeof session !== 'undefined' && document.title.startsWith('s ')")
    browser.run("seek(7000000)")
    for _ in range(3):
        browser.press("+")
    # The session lasts until its last message, 19.98 s.
    assert browser.run("to - from") == pytest.approx(19_980_000 / 8)
    assert browser.run("from <= now && now <= to")
    before = browser.run("now")
    browser.press("ArrowRight")
    assert browser.run("now") - before == 40_000
    browser.run("seek(19000000)")
    assert browser.run("from <= now && now <= to"), "the graph follows"
    browser.click(id_("whole"))
    assert browser.run("[from, to].join()") == "0,19980000"
