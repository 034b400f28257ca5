"""A real browser, driven by its own debugging protocol."""

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time

import pytest

NAMES = (
    "chromium",
    "chromium-browser",
    "chromium-headless-shell",
    "google-chrome",
    "google-chrome-stable",
)
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason=f"no browser of this machine can be driven: none of {', '.join(NAMES)}"
)


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
