"""Tables for people."""

from __future__ import annotations

import re
import subprocess

from sfm_stream.report import markdown


def test_a_table_has_a_name_column_and_numbers_to_the_right():
    text = markdown.table(["model", "a"], [["x", "1"], ["y", "2"]])
    assert text.splitlines() == [
        "| model | a |",
        "| --- | --: |",
        "| x | 1 |",
        "| y | 2 |",
    ]


def test_a_commit_is_named_or_unknown(monkeypatch):
    assert re.fullmatch(r"[0-9a-f]{7,}(-dirty)?|unknown", markdown.commit())
    silent = subprocess.CompletedProcess([], 128, stdout="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: silent)
    assert markdown.commit() == "unknown"


def test_without_git_no_commit_is_known(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert markdown.commit() == "unknown"
