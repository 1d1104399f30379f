"""The wheel holds what an installed package needs, and says what it is."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest

from tests.pages import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    place = tmp_path_factory.mktemp("dist")
    subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (path,) = place.glob("*.whl")
    with zipfile.ZipFile(path) as found:
        yield found


def test_the_wheel_holds_licence_changelog_types_and_every_module(wheel):
    there = set(wheel.namelist())
    wanted = {"sfm_stream/CHANGELOG.md", "sfm_stream/LICENSE", "sfm_stream/py.typed"}
    modules = {
        path.relative_to(ROOT).as_posix()
        for house in ("sfm_stream", "connectors")
        for path in (ROOT / house).rglob("*.py")
    }
    looked_at = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "sfm_stream").rglob("*")
        if path.suffix in {".html", ".css", ".js"}
    }
    assert {"sfm_stream/drawing/uplot/LICENSE"} | looked_at <= there
    assert len(looked_at) >= 12
    assert wanted | modules <= there
    assert {name.split("/")[0] for name in there if ".dist-info" not in name} == {
        "sfm_stream", "connectors",
    }  # fmt: skip
    assert any(
        name.endswith(".dist-info/licenses/sfm_stream/LICENSE") for name in there
    )


def test_the_wheel_says_what_it_is(wheel):
    (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    said = Parser().parsestr(wheel.read(name).decode())
    assert said["License-Expression"] == "BSD-3-Clause"
    assert said["Keywords"]
    assert "Programming Language :: Python :: 3.11" in said.get_all("Classifier")


def test_the_changelog_tells_of_this_version_and_of_what_comes():
    text = (ROOT / "sfm_stream" / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    current = re.search(r'^version = "(.+)"$', project, re.MULTILINE)[1]
    assert versions[0] == "Unreleased"
    assert current in versions
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
