"""Chromium, driven by its own DevTools over the websockets we depend on anyway.

A test client such as Playwright's would bring 40 MB and a runtime of another language;
what these tests need are six commands.
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from websockets.sync.client import connect

PATIENCE = 30.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
    "--no-first-run", "--disable-extensions", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--remote-debugging-port=0", "--window-size=1360,1000", "--force-color-profile=srgb",
)  # fmt: skip
CODES = {"ArrowLeft": 37, "ArrowRight": 39, "ArrowUp": 38, "ArrowDown": 40, "End": 35,
         "Tab": 9, "Enter": 13, "Escape": 27, " ": 32}  # fmt: skip


def program():
    """Give where Chromium is, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """A tab.

    Attributes:
        process: number of Chromium's.
        requests: addresses asked for, in order.
        problems: errors and warnings of the console, and exceptions.
    """

    def __init__(self, socket, process):
        self._socket, self.process = socket, process
        self._number = itertools.count(1)
        self.requests, self.problems = [], []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **given):
        """Carry out a command of DevTools; gives its result."""
        number = next(self._number)
        told = {"id": number, "method": method, "params": given}
        self._socket.send(json.dumps(told))
        end = time.monotonic() + PATIENCE
        while (left := end - time.monotonic()) > 0:  # events may come for ever
            heard = json.loads(self._socket.recv(left))
            if heard.get("id") == number:
                if "error" in heard:
                    raise RuntimeError(f"{method}: {heard['error']}")
                return heard["result"]
            self._note(heard)
        raise TimeoutError(f"{method}: no answer in {PATIENCE} s")

    def _note(self, heard):
        kind, told = heard.get("method"), heard.get("params", {})
        if kind == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif kind == "Network.webSocketCreated":
            self.requests.append(told["url"])
        elif kind == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.problems.append(details.get("exception", details).get("description"))
        elif kind == "Log.entryAdded" and told["entry"]["level"] in {
            "error",
            "warning",
        }:
            self.problems.append(told["entry"]["text"])
        elif kind == "Runtime.consoleAPICalled" and told["type"] in {
            "error",
            "warning",
        }:
            self.problems.append(str(told["args"]))

    def open(self, url):
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def ask(self, expression):
        """Give the value of an expression in the page."""
        told = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True,
            awaitPromise=True,
        )  # fmt: skip
        if "exceptionDetails" in told:
            raise RuntimeError(json.dumps(told["exceptionDetails"])[:800])
        return told["result"].get("value")

    def until(self, expression, patience=PATIENCE):
        """Wait until an expression in the page is true; gives its value."""
        end = time.monotonic() + patience
        while not (value := self.ask(expression)):
            if time.monotonic() > end:
                raise TimeoutError(expression)
            time.sleep(0.05)
        return value

    def press(self, key, **given):
        """Press a key."""
        code = CODES.get(key, ord(key[0].upper()))
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key,
                windowsVirtualKeyCode=code, **more, **given,
            )  # fmt: skip

    def size(self, width, height=1000, scale=1):
        """Be a window of so many pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=scale, mobile=False,
        )  # fmt: skip

    def theme(self, name):
        """Be `light` or `dark`."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, path, kind="png", **given):
        """Take a picture of what is in sight."""
        told = self.call("Page.captureScreenshot", format=kind, **given)
        Path(path).write_bytes(base64.b64decode(told["data"]))

    def tree(self):
        """Give role and name of everything that people without sight are told of."""
        self.call("Accessibility.enable")
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node.get("ignored") and "role" in node
        ]


@contextmanager
def browser():
    """Give a tab of a Chromium of its own, and end it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        line = [program(), *FLAGS, f"--user-data-dir={home}", "about:blank"]
        running = subprocess.Popen(  # noqa: S603 as it is installed
            line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            address = _tab(Path(home) / "DevToolsActivePort")
            with connect(address, max_size=None, compression=None) as socket:
                yield Page(socket, running.pid)
        finally:
            running.terminate()
            running.wait(10)


def _tab(told):
    """Give the address of the first tab, once Chromium has said its port."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if told.exists() and told.read_text().strip():
            port = told.read_text().split()[0]
            with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            if tabs:
                return tabs[0]["webSocketDebuggerUrl"]
        time.sleep(0.05)
    raise TimeoutError("Chromium said no port")
