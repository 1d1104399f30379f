"""Every page is true: its blocks run, its links lead somewhere, its tables fit."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import polars as pl
import pytest
import typer
from polars.testing import assert_frame_equal

from sfm_stream import config
from sfm_stream.cli import app
from tests import pages, sample_quotes
from tests.pages import PAGES, ROOT

NAMED_FILE = r"(?:sfm_stream|connectors|tests|configs)/[\w/]+\.\w+"
LANGUAGES = {"sh", "python", "toml", "ini", "dockerfile", "text"}
LONGEST_DOOR = 250
PYTHON = pages.all_blocks("python")
TOML = pages.all_blocks("toml")
OUR_ENTRY_POINTS = {"sfm_stream.venues", "sfm_stream.sinks"}


def first_line(given):
    return given.split("\n", 1)[0] if isinstance(given, str) else None


def test_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) <= LONGEST_DOOR


def test_the_readme_names_every_page():
    linked = {link.split("#")[0] for link in links("README.md")}
    assert linked >= set(PAGES) - {"README.md"}


def test_no_block_is_of_a_language_that_no_test_runs():
    fences = {lang for text in PAGES.values() for lang, _ in pages.FENCE.findall(text)}
    assert fences <= LANGUAGES


def test_set_up_is_two_commands_of_one_line():
    found = pages.blocks("sh", pages.section("README.md", "## Set-up"))
    assert [block.count("\n") for block in found] == [1, 1]
    first, second = (block.strip().split(" && ") for block in found)
    assert first[0] == second[0] == "python3 -m venv .venv"
    assert first[-1] == ".venv/bin/sfm-stream replay configs/demo.toml"
    assert second[-1] == ".venv/bin/pytest"


def test_the_continuous_check_runs_the_set_up_as_it_stands():
    text = (ROOT / ".ci" / "run").read_text()
    program = text.split("set_up() {")[1].split("\n}")[0]
    for number, block in enumerate(pages.blocks("sh", PAGES["README.md"])[:2], 1):
        said = subprocess.run(  # noqa: S603 our own script
            ["/bin/bash", "-c", f"set_up() {{{program}\n}}; set_up {number}"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert said.stdout == block


@pytest.mark.parametrize(("name", "block"), PYTHON, ids=first_line)
@pytest.mark.usefixtures("lived_in")
def test_a_block_of_python_runs(name, block, capsys):
    code = compile(block, name, "exec", dont_inherit=True)
    exec(code, {"__name__": "page"})  # noqa: S102 ours
    shown = capsys.readouterr().out
    assert bool(shown.strip()) == ("print(" in block)


@pytest.mark.parametrize(("name", "block"), TOML, ids=first_line)
def test_a_block_of_toml_is_a_configuration_or_an_entry_point(name, block):
    tree = tomllib.loads(block)
    if "project" in tree:
        assert set(tree["project"]["entry-points"]) <= OUR_ENTRY_POINTS, name
    else:
        config.parse(block)


UNDERSTOOD = [*pages.commands("text"), *pages.forms()]


@pytest.mark.parametrize("words", UNDERSTOOD, ids=" ".join)
def test_a_command_that_takes_hours_or_a_name_is_understood(words):
    understood(words)
    for path in (word for word in words if re.fullmatch(NAMED_FILE, word)):
        assert (ROOT / path).is_file(), path


def understood(words):
    """Let the command line parse words, and run nothing."""
    command, left = typer.main.get_command(app), list(words)
    while hasattr(command, "commands"):
        command, left = command.commands[left[0]], left[1:]
    command.make_context("sfm-stream", left)


def test_a_command_that_nobody_knows_is_not_understood():
    with pytest.raises(typer.BadParameter.__bases__[0]):
        understood(["replay", "configs/demo.toml", "--nonsense"])
    with pytest.raises(KeyError):
        understood(["nonsense"])


def links(name):
    """Give where the links of a page lead."""
    return re.findall(r"\]\(([^)\s]+)\)", pages.FENCE.sub("", PAGES[name]))


def lost(name):
    """Give the links of a page that lead nowhere within the repository."""
    found = []
    for link in links(name):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        place = (ROOT / name).parent / path if path else ROOT / name
        if not place.exists() or (anchor and anchor not in pages.anchors(place)):
            found.append(link)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name):
    assert lost(name) == []


def test_a_link_to_nowhere_is_seen(monkeypatch):
    said = "# Set-up\n\n[a](#set-up) [b](#nowhere) [c](configs/none.md) [d](configs/README.md#keys)"
    monkeypatch.setitem(PAGES, "README.md", said)
    assert lost("README.md") == ["#nowhere", "configs/none.md"]


def test_every_page_is_linked_from_another():
    led = {
        ((ROOT / name).parent / link.split("#")[0]).resolve()
        for name in PAGES for link in links(name) if "://" not in link
    }  # fmt: skip
    assert [
        name for name in PAGES if name != "README.md" and ROOT / name not in led
    ] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_file_named_is_there(name):
    named = set(re.findall(NAMED_FILE, PAGES[name]))
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize(("name", "mark"), pages.MADE, ids=str)
def test_a_table_made_from_the_code_is_as_the_code_is(name, mark):
    if pages.with_table(name, mark) != PAGES[name]:
        pytest.fail(f"{name}: the table {mark!r} is old; run `python -m tests.pages`")


def test_every_room_says_what_it_is():
    rows = f"{pages.rooms()}\n{pages.feeds()}".splitlines()
    assert [row for row in rows if row.endswith("|  |")] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.stem
)
def test_an_example_configuration_opens(path, checkout, sfm_stream):
    config.load(path)
    private = pages.reads_private_data(("check", f"configs/{path.name}"))
    if private and not (checkout.parent / "shared").is_dir():
        pytest.skip("the data it reads is not part of the project")
    assert sfm_stream("check", f"configs/{path.name}")[0] == 0


def test_the_sample_is_what_its_command_makes(tmp_path):
    sample_quotes.main(tmp_path)
    for name, read in (
        ("quotes.csv", pl.read_csv),
        ("quotes.parquet", pl.read_parquet),
    ):
        there, made = read(ROOT / "configs" / name), read(tmp_path / name)
        assert there.schema == made.schema
        assert_frame_equal(there, made, abs_tol=0.011)  # a last digit may round


def test_pages_name_no_place_of_one_machine():
    for name, text in PAGES.items():
        assert not re.search(r"/(?:home|root|tmp|work)/", text), name
        assert Path(name).name == "README.md"
