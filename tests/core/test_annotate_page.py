"""The page of `./mx annotate` in a real browser, driven by its own debugging protocol."""

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest
from mx_capture.codecs import Evt3Encoder
from mx_capture.recording.annotation_server import Annotator, make_server
from mx_capture.recording.annotations import read_annotations
from mx_capture.recording.session_info import Consent, SessionInfo
from mx_capture.recording.session_writer import write_session
from mx_capture.stream import EVENT_DTYPE, Frame, Label, Packet

START = 1_700_000_000_000_000_000
SECONDS = 20
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason=f"no browser of this machine can be driven: none of {', '.join(NAMES)}"
)


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


class Browser:
    """One page of a headless browser."""

    def __init__(self, address, folder):
        pipes = [os.pipe(), os.pipe()]
        commands, answers = ([fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in p] for p in pipes)
        options = "--headless --no-sandbox --disable-gpu --remote-debugging-pipe"
        command = f'exec "{BROWSER}" {options} --user-data-dir="{folder}" --window-size=1280,1100'
        self.process = subprocess.Popen(
            ["bash", "-c", f"{command} about:blank 3<&{commands[0]} 4>&{answers[1]}"],
            pass_fds=(commands[0], answers[1]),
            stderr=subprocess.DEVNULL,
        )
        for end in (commands[0], answers[1], *pipes[0], *pipes[1]):
            os.close(end)
        self.commands, self.answers = os.fdopen(commands[1], "wb"), os.fdopen(answers[0], "rb")
        self.number, self.page, self.rest = 0, None, b""
        target = self.ask("Target.createTarget", url=address)["targetId"]
        self.page = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def ask(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.page:
            message["sessionId"] = self.page
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while True:
            while b"\0" not in self.rest:
                data = os.read(self.answers.fileno(), 1 << 16)
                assert data, "the browser ended"
                self.rest += data
            answer, _, self.rest = self.rest.partition(b"\0")
            answer = json.loads(answer)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, script):
        result = self.ask("Runtime.evaluate", expression=script, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, script):
        end = time.monotonic() + 60
        while not self.run(script):
            assert time.monotonic() < end, f"{script} did not become true"
            time.sleep(0.05)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, **text)

    def click(self, element):
        box = json.loads(
            self.run(f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}});"
                     " return JSON.stringify(e.getBoundingClientRect()); })()")
        )  # fmt: skip
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self):
        return base64.b64decode(self.ask("Page.captureScreenshot")["data"])

    def close(self):
        self.page = None
        with contextlib.suppress(OSError, AssertionError):
            self.ask("Browser.close")
        self.commands.close()
        self.answers.close()
        self.process.wait(20)


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
