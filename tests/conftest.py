"""What all tests share: the same examples at every run, and the program."""

from __future__ import annotations

import sys

import pytest
from hypothesis import settings

from sfm_stream import cli

settings.register_profile("seeded", derandomize=True)
settings.load_profile("seeded")


@pytest.fixture
def sfm_stream(monkeypatch, capsys):
    """Give the program as a function: arguments in; exit code, stdout, stderr out."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sfm-stream", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        said = capsys.readouterr()
        return exited.value.code, said.out, said.err

    return call
