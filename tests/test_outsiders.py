from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from sfm_stream import outsiders
from sfm_stream.errors import ConfigError
from sfm_stream.outsiders import Sort, class_of

CODER = Sort(
    "coder", ("encode", "iterencode"), "the manual", {"ours": "json:JSONEncoder"},
    others=("plain",), group="coders",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    points = [EntryPoint("theirs", "json.encoder:JSONEncoder", "coders")]
    monkeypatch.setattr(
        outsiders, "entry_points",
        lambda group, name: [p for p in points if (p.group, p.name) == (group, name)],
    )  # fmt: skip


@pytest.mark.parametrize("name", ["ours", "theirs", "json:JSONEncoder"])
def test_a_class_is_found_by_our_name_their_name_and_its_place(name):
    assert class_of(name, "a.key", CODER).__name__ == "JSONEncoder"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("our", "expected a coder, was 'our'; did you mean 'ours'?"),
        ("json:", "expected a coder, was 'json:'; there are: ours, plain"),
        ("no_such_module:X", "'no_such_module:X' cannot be imported: No module"),
        ("..json:X", "'..json:X' cannot be imported: "),
        ("json:Absent", "'json:Absent' cannot be imported: module 'json' has no"),
        ("json:dumps", "expected a class with encode, iterencode, was 'json:dumps'"),
        ("json:JSONDecoder", "was 'json:JSONDecoder'; the manual says more"),
    ],
)
def test_what_is_none_is_refused_by_the_key_that_named_it(name, problem):
    with pytest.raises(ConfigError) as caught:
        class_of(name, "a.key", CODER)
    assert caught.value.at == "a.key"
    assert problem in str(caught.value)


def test_a_class_of_ours_that_lacks_a_package_says_so_itself():
    broken = Sort("coder", (), "", {"ours": "no_such_module:X"})
    with pytest.raises(ModuleNotFoundError):
        class_of("ours", "a.key", broken)


def test_without_any_of_ours_the_hint_says_how_to_name_ones_own():
    with pytest.raises(ConfigError, match="a coder of your own is named `package"):
        class_of("none", "a.key", Sort("coder", (), ""))
