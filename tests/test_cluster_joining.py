"""Ray is asked for by those who want it, and by nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sfm_stream.cluster import joining
from sfm_stream.errors import ConfigError

ROOT = Path(__file__).parents[1]


def test_without_ray_the_commands_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"install sfm-stream\[cluster\]"):
        joining.joined("127.0.0.1:1")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "here:there"])
def test_an_address_where_nobody_is_is_refused_at_once(address, monkeypatch):
    class Ray:
        @staticmethod
        def is_initialized():
            return False

    monkeypatch.setattr(joining, "found", Ray)
    with pytest.raises(
        ConfigError, match=f"expected a cluster of Ray, was '{address}'"
    ):
        joining.joined(address)


@pytest.mark.parametrize(
    "name",
    ["sfm_stream.cli", "sfm_stream.cluster.on_ray", "sfm_stream.cluster.tasks",
     "sfm_stream.evaluate.workers"],
)  # fmt: skip
def test_nothing_of_ray_is_imported_before_it_is_asked_for(name):
    script = (
        f"import sys, {name}; from sfm_stream.cluster import moving, gateway, shards;"
        "print([m for m in sys.modules if m.split('.')[0] == 'ray'])"
    )
    done = subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
