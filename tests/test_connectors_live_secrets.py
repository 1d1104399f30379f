from __future__ import annotations

import asyncio
import json

import pytest

from connectors.capture.recorder import Recorder
from connectors.live.secrets import reveal, reveal_frame
from sfm_stream.errors import ConfigError
from tests.live_rig import Listener, heard, live, server, tick, told, until

QUOTED = 's3cr"et'


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("wss://host/{env:TOKEN}/x?key={env:TOKEN}", 'wss://host/s3cr"et/x?key=s3cr"et'),
        ("env:TOKEN", 'wss'), ("wss://host/{other}", "wss://host/{other}"),
    ],
)  # fmt: skip
def test_a_secret_of_the_environment_takes_the_place_of_its_name(
    text, whole, monkeypatch
):
    monkeypatch.setenv("TOKEN", "wss" if whole == "wss" else QUOTED)
    assert reveal(text, "feed.options.url") == whole


def test_a_secret_of_a_file_is_read_without_its_line_end(tmp_path):
    (tmp_path / "token").write_text("abc\n")
    assert (
        reveal(f"wss://host?t={{file:{tmp_path}/token}}", "feed.options.url")
        == "wss://host?t=abc"
    )


def test_a_secret_in_a_frame_is_escaped(monkeypatch):
    monkeypatch.setenv("TOKEN", QUOTED)
    frame = reveal_frame(b'{"auth":"{env:TOKEN}"}', "feed.options.subscribe")
    assert json.loads(frame) == {"auth": QUOTED}


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("{env:NOT_THERE}", "expected the environment variable NOT_THERE, was not set"),
        ("{file:/not/there}", "expected a secret in /not/there: No such file"),
    ],
)
def test_a_secret_that_is_not_there_is_named_before_anything_is_opened(
    reference, problem
):
    with pytest.raises(ConfigError, match=f"feed.options.url: {problem}"):
        live(f"wss://host/{reference}")


def test_a_secret_is_sent_and_never_written_down(monkeypatch, tmp_path):
    monkeypatch.setenv("TOKEN", "s3cret")
    asked = []

    async def venue(socket, _):
        asked.extend([socket.request.path, json.loads(await socket.recv())["ask"]])
        await socket.send(tick(1, "{env:TOKEN}"))
        await socket.wait_closed()

    async def run():
        recorder = Recorder(tmp_path / "capture", quota=2**20)
        async with server(venue) as (url, _):
            address = f"{url}/{{env:TOKEN}}/x"
            feed = told(address, "{env:TOKEN}", records=(recorder,))
            async with Listener(feed) as listener:
                await until(heard(listener, 1))
                found = [feed.source(), feed.status()]
        recorder.close()
        return found

    said = str(asyncio.run(run()))
    assert asked == ["/s3cret/x", ["s3cret"]]
    written = b"".join(
        path.read_bytes()
        for path in (tmp_path / "capture").rglob("*")
        if path.is_file()
    )
    assert "s3cret" not in said
    assert written
    assert b"s3cret" not in written
