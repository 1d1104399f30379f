from __future__ import annotations

import asyncio
import re

import pytest

from sfm_stream.daemon.http import files
from tests.daemon_web import asked, served

BROWSER = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"


def ask(path, *headers):
    async def run():
        async with served() as (_, url):
            return await asked(url, path, *headers)

    return asyncio.run(run())


def test_a_browser_gets_the_page_and_others_the_list():
    status, headers, body = ask("/", BROWSER)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert body.startswith(b"<!doctype html>")
    assert ask("/", "Accept: */*")[2].startswith(b"sfm-stream\n/healthz")


def test_the_page_may_load_from_its_own_address_alone():
    policy = ask("/", BROWSER)[1]["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", [p for p in files.read() if p != "/"])
def test_every_file_is_served_as_what_it_is(path):
    status, headers, body = ask(path)
    assert status == 200
    assert body == files.read()[path].body
    kind = {"js": "text/javascript", "css": "text/css"}[path.rpartition(".")[2]]
    assert headers["Content-Type"].startswith(kind)


@pytest.mark.parametrize(
    "path",
    ["/page/", "/page/../server.py", "/page/%2e%2e/server.py", "/page/index.html"],
)
def test_nothing_else_is_given_out(path):
    assert ask(path)[0] == 404


def test_whatever_a_file_asks_for_is_there():
    there = files.read()
    asked_for = set()
    for file in there.values():
        text = file.body.decode()
        asked_for |= set(re.findall(r'(?:src|href)="(/page/[^"]+)"', text))
        asked_for |= set(re.findall(r'^import .* from "([^"]+)";', text, re.MULTILINE))
    assert len(asked_for) >= 10
    assert asked_for <= set(there)


def test_no_file_names_another_host():
    for path, file in files.read().items():
        text = file.body.decode()
        hosts = set(re.findall(r"(?:https?|wss?)://([^/\s\"'`)$]+)", text))
        assert hosts <= {"github.com", "www.w3.org"}, path  # a licence and a namespace
