"""A real browser for tests of pages: Chromium without a window, spoken to by its own protocol over two pipes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# The browser reads from descriptor 3 and writes to 4: put the pipes there, by way of numbers that are neither.
START = """import fcntl, os, sys
for number, place in zip([fcntl.fcntl(int(pipe), fcntl.F_DUPFD, 10) for pipe in sys.argv[1:3]], (3, 4)): os.dup2(number, place)
os.execvp(sys.argv[3], sys.argv[3:])"""


class Page:
    """One open page.

    Attributes:
        errors: what the console and the browser complained of, exceptions and blocked requests included.
        requests: addresses that were asked for, but for the page's own and those of data.
    """

    def __init__(self, send: Any, receive: Any) -> None:
        self._send, self._receive = send, receive
        self._number, self._buffer = 0, b""
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._session: str | None = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command's answer; events that come before it are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(
            self._send, json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode() + b"\0"
        )
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._receive, 1 << 20)
            assert part, "the browser has gone"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(told["exceptionDetails"].get("exception", {}).get("description", str(told)))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.errors.append(str(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.errors.append(told["entry"]["text"])
            case "Network.requestWillBeSent" if not told["request"]["url"].startswith(("data:", "file:", "about:")):
                self.requests.append(told["request"]["url"])

    def open(self, path: Path, width: int = 1400, height: int = 900, **media: str) -> None:
        """Load a file in a window of this size; media features such as prefers_color_scheme="dark"."""
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.ask("Emulation.setEmulatedMedia", features=features)
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask("Page.navigate", url=path.absolute().as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def run(self, script: str) -> Any:
        """Value of an expression in the page, awaited."""
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 20) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """A key, as if typed: "Enter", "ArrowRight", …"""
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        told = {
            "key": key,
            "code": key,
            "windowsVirtualKeyCode": codes[key],
            **({"text": "\r"} if key == "Enter" else {}),
        }
        self.ask("Input.dispatchKeyEvent", type="keyDown", **told)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **told)

    def mouse(self, x: float, y: float, click: bool = False) -> None:
        """Move the mouse to a place in the window, and click there."""
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased") if click else ():
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def shot(self, path: Path, whole: bool = False) -> None:
        """The window, or the whole page, as a PNG."""
        path.write_bytes(
            base64.b64decode(
                self.ask("Page.captureScreenshot", captureBeyondViewport=whole, **self._clip(whole))["data"]
            )
        )

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    """A page of a browser of its own."""
    (read, send), (receive, write) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory() as profile:
        told = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        command = [sys.executable, "-c", START, str(read), str(write), *told]
        process = subprocess.Popen(
            command, pass_fds=(read, write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(read)
        os.close(write)
        try:
            yield Page(send, receive)
        finally:
            process.terminate()
            process.wait(20)
            os.close(send)
            os.close(receive)
