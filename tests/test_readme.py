"""The README is walked as a newcomer would: its commands run, its tables are true."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from sfm_stream import config
from sfm_stream.config import keys
from sfm_stream.daemon.http.client import ask
from sfm_stream.daemon.http.prometheus import Meters
from sfm_stream.errors import SFMStreamError
from sfm_stream.evaluate.pace import bench
from sfm_stream.paper.analyses import ablations
from sfm_stream.paper.tasks import music, phonemes, signals
from sfm_stream.paper.training.loop import Schedule
from tests.daemon_web import asked, scores, served, served_apart
from tests.vitals_rig import WELL

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
PRIVATE = "../shared/"
NAMED_FILE = r"(?:sfm_stream|connectors|tests|configs)/[\w/]+\.\w+"
# Small enough for a test; the numbers are nobody's.
SMALL = ["--set", "feed.ticks=2000", "--set", "run.warmup=100"]
BRIEF = Schedule(epochs=1, batch=4, lr=1e-2, patience=1)
SIGNALS = signals.Size(train=4, valid=2, test=2, samples=8, schedule=BRIEF)
BENCH = bench.Size(
    repeats=2, ticks=64, eager_ticks=64, live_ticks=20, file_ticks=50, sequence_ticks=3
)


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def first_column(text):
    """Give the names in code of the first column of a section's tables."""
    return re.findall(r"^\| `([\w./-]+)` \|", text, re.MULTILINE)


def section(heading):
    """Give the text from a heading to the next one of its rank or above."""
    marks = heading.split()[0]
    after = README.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(marks)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def commands():
    """Give every `sfm-stream ...` line, in blocks and in tables."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`(sfm-stream [^`]+)`", README)
    found = [shlex.split(line)[1:] for line in lines if line.startswith("sfm-stream ")]
    return list(dict.fromkeys(tuple(words) for words in found))


COMMANDS = commands()
LIVE = [shlex.split(line)[1:] for block in blocks("sh", section("## Live feeds"))
        for line in block.splitlines()]  # fmt: skip
LIVING = [line for block in blocks("sh", section("## A model that lives"))
          for line in block.splitlines()]  # fmt: skip
WALKED = [*LIVE, *(shlex.split(line)[1:] for line in LIVING)]
ELSEWHERE = {("check",), ("bench",), ("status",), *((words[0],) for words in WALKED)} - {
    ("replay",), ("verify",)
}  # fmt: skip
HERE = [words for words in COMMANDS
        if words[:1] not in ELSEWHERE and list(words) not in WALKED]  # fmt: skip


def reads_private_data(words):
    """Say whether a command reads files that are not part of the project."""
    if any(PRIVATE in word for word in words):
        return True
    path = next((w for w in words if w.endswith(".toml")), None)
    is_set = any(w.startswith("feed.path=") for w in words)
    return bool(path) and not is_set and PRIVATE in (ROOT / path).read_text()


async def index():
    """Give a daemon's own list of its pages."""
    async with served() as (_, url):
        return (await asked(url, "/"))[2].decode()


def without_output(words):
    """Turn a replay into a check of the same settings."""
    kept = [word for word in words[1:] if word != "--json"]
    return ["check", *kept]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Stand in a copy of what the README's commands read, beside the same data."""
    place = tmp_path / "main"
    shutil.copytree(ROOT / "configs", place / "configs")
    if (ROOT.parent / "shared").is_dir():
        (tmp_path / "shared").symlink_to(ROOT.parent / "shared")
    monkeypatch.chdir(place)
    for folder in (Path(), Path("configs")):
        rows = "".join(f"{1_700_000_000 + t},{t % 7}\n" for t in range(1_000))
        (folder / "ticks.csv").write_text(f"timestamp,value\n{rows}")
    return place


@pytest.fixture
def lived_in(checkout, sfm_stream):
    """The checkout after the first command: it holds `runs/demo-001`."""
    assert sfm_stream("replay", "configs/demo.toml", *SMALL)[0] == 0
    return checkout


def test_set_up_is_two_commands_of_one_line():
    found = blocks("sh", section("## Set-up"))
    assert [block.count("\n") for block in found] == [1, 1]
    first, second = (block.strip().split(" && ") for block in found)
    assert first[0] == second[0] == "python3 -m venv .venv"
    assert first[-1] == ".venv/bin/sfm-stream replay configs/demo.toml"
    assert second[-1] == ".venv/bin/pytest"


def test_the_continuous_check_runs_the_set_up_as_it_stands():
    text = (ROOT / ".ci" / "run").read_text()
    program = text.split("set_up() {")[1].split("\n}")[0]
    for number, block in enumerate(blocks("sh")[:2], 1):
        said = subprocess.run(  # noqa: S603 our own script
            ["/bin/bash", "-c", f"set_up() {{{program}\n}}; set_up {number}"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert said.stdout == block


@pytest.mark.parametrize("block", blocks("python"), ids=lambda b: b.split("\n")[0])
@pytest.mark.usefixtures("lived_in")
def test_a_block_of_python_runs(block, capsys):
    code = compile(block, "README.md", "exec", dont_inherit=True)
    exec(code, {"__name__": "readme"})  # noqa: S102 ours
    shown = capsys.readouterr().out
    assert bool(shown.strip()) == ("print(" in block)


@pytest.fixture
def brief(monkeypatch):
    """Make the paper's experiments as small as they can be."""
    monkeypatch.setattr(signals, "QUICK", SIGNALS)
    monkeypatch.setattr(music, "QUICK", music.Size(pieces=2, schedule=BRIEF))
    monkeypatch.setattr(phonemes, "QUICK", phonemes.Size(sentences=2, schedule=BRIEF))
    stream = {"feed": {"connector": "synthetic", "ticks": 100}, "run": {"warmup": 10}}
    monkeypatch.setattr(ablations, "STREAMS", {"tones": stream})


@pytest.mark.parametrize("words", HERE, ids=" ".join)
@pytest.mark.usefixtures("brief")
def test_a_command_does_what_it_says(words, lived_in, sfm_stream):
    at_hand = (lived_in.parent / "shared").is_dir()
    if words[0] == "paper" and reads_private_data(words):
        if not at_hand:
            pytest.skip("the data it reads is not part of the project")
    elif reads_private_data(words):
        path = lived_in / next(w for w in words if w.endswith(".toml"))
        given = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        config.load(path, given)
        if not at_hand:
            pytest.skip("the data it reads is not part of the project")
        assert sfm_stream(*without_output(words))[0] == 0
        return
    extra = SMALL if "configs/demo.toml" in words else []
    code, out, err = sfm_stream(*words, *extra)
    assert code == 0, err
    if "--json" in words:
        assert json.loads(out.splitlines()[-1])["horizons"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as there:
        return there.getsockname()[1]


def until_live(address, events):
    """Ask a daemon, which may not be there yet, until it has seen so many events."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with suppress(SFMStreamError):
            answer = ask(address)
            if answer.vitals.state == "live" and answer.vitals.seq >= events:
                return answer.vitals
    pytest.fail("the daemon did not come to live")


@pytest.mark.usefixtures("lived_in")
def test_the_chapter_of_the_daemon_is_walked_in_three_shells(sfm_stream):
    assert [line.split()[:2] for line in LIVING] == [
        ["sfm-stream", "simulate"], ["sfm-stream", "daemon"], ["sfm-stream", "status"],
        ["pkill", "-9"], ["sfm-stream", "daemon"], ["sfm-stream", "status"],
        ["pkill", "-f"], ["sfm-stream", "verify"],
    ]  # fmt: skip
    simulate, daemon = (shlex.split(line)[1:] for line in LIVING[:2])
    address = f"127.0.0.1:{free_port()}"
    given = {"env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    program = [sys.executable, "-m", "sfm_stream"]
    words = ["0" if word == "8765" else word for word in simulate]
    venue = subprocess.Popen(  # noqa: S603 our own interpreter
        [*program, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, **given,
    )  # fmt: skip
    try:
        url = venue.stdout.readline().strip()
        text = Path("configs/daemon.toml").read_text()
        changed = text.replace("ws://127.0.0.1:8765", url)
        Path("configs/daemon.toml").write_text(changed)
        seen = 0
        for last in (False, True):
            shell = subprocess.Popen(  # noqa: S603 our own interpreter
                [*program, *daemon, "--set", f"daemon.listen={address}"],
                stderr=subprocess.DEVNULL, **given,
            )  # fmt: skip
            seen = until_live(address, seen + 20).seq
            assert sfm_stream("status", address)[0] == 0
            shell.send_signal(signal.SIGTERM if last else signal.SIGKILL)
            assert shell.wait(60) == (0 if last else -signal.SIGKILL)
        # by a process of its own: one that has compiled kernels, as this one may have,
        # differs in last bits from those that load them
        checked = subprocess.run(  # noqa: S603 our own interpreter
            [*program, *shlex.split(LIVING[-1])[1:]],
            capture_output=True, text=True, check=False, **given,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stderr
        assert "are identical" in checked.stdout
        assert int(checked.stdout.split("records of ")[1].split()[0]) >= seen
    finally:
        venue.terminate()
        venue.communicate()


def test_the_live_chapter_is_walked_in_two_shells(lived_in, sfm_stream):
    first, *others = LIVE
    assert first[0] == "simulate"
    words = ["0" if word == "8765" else word for word in first]
    shell = subprocess.Popen(  # noqa: S603 our own interpreter
        [sys.executable, "-m", "sfm_stream", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        url = shell.stdout.readline().strip()
        text = Path("configs/live.toml").read_text()
        assert "ws://127.0.0.1:8765" in text
        changed = text.replace("ws://127.0.0.1:8765", url)
        Path("configs/live.toml").write_text(changed)
        for words in others:
            given = ["1s" if word == "5s" else word for word in words]
            code, out, err = sfm_stream(*given)
            assert code == 0, err
            if words[0] == "tail":
                assert len(out.splitlines()) == 5
    finally:
        shell.terminate()
        shell.communicate()
    assert [words[0] for words in others] == ["feeds", "tail", "record", "replay"]
    scored = json.loads(
        (lived_in / "runs/binance_capture-001/summary.json").read_text()
    )
    assert scored["ticks"] > 50


@pytest.mark.usefixtures("checkout")
def test_check_is_shown(sfm_stream):
    shown = [words for words in COMMANDS if words[0] == "check"]
    assert shown
    for words in shown:
        assert sfm_stream(*words)[0] == 0


def test_the_bench_prints_what_its_table_explains(sfm_stream, monkeypatch):
    monkeypatch.setattr(bench, "Size", lambda: BENCH)
    monkeypatch.setattr(bench, "_compile", lambda: 1.0)
    assert ("bench", "--json") in COMMANDS
    code, out, _ = sfm_stream("bench", "--json")
    assert code == 0
    said = set()
    for key, value in json.loads(out.splitlines()[-1]).items():
        nested = isinstance(value, dict) and key != "config"
        said |= {f"{key}.{part}" for part in value} if nested else {key}
    assert set(first_column(section("## Pace"))) == said


def test_a_daemon_is_asked_as_shown(sfm_stream):
    shown = [words for words in COMMANDS if words[0] == "status"]
    assert shown
    with served_apart() as url:
        for _, *words in shown:
            given = [word for word in words if "://" not in word]
            assert sfm_stream("status", url, *given)[0] == 0


def test_what_a_daemon_answers_is_explained():
    chapter = section("## Running it as a service")
    tree = msgspec.to_builtins(WELL)
    one_of = {"streams": tree["streams"]["btcusdt"], "feeds": tree["feeds"][0],
              "sinks": tree["sinks"][0]}  # fmt: skip
    for name, value in (tree | one_of).items():
        (row,) = re.findall(rf"^\| `{name}` \| (.+)$", chapter, re.MULTILINE)
        parts = value if isinstance(value, dict) else {}
        assert [part for part in parts if f"`{part}`" not in row] == []
    pages = {name for name in first_column(chapter) if name.startswith("/")}
    _, *listed = asyncio.run(index()).split()
    assert pages == {name for name in listed if name.startswith("/")}


def test_every_metric_is_explained():
    meters = Meters(lambda: WELL)
    meters.observe_records(scores((0, 0, 1.0, 1.0, 0.0)))
    rows = ["| name | kind | labels | meaning |", "|---|---|---|---|"]
    for family in meters.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(key for key in family.samples[0].labels if key != "le")
        rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    table = "\n".join(rows)
    if table not in section("### Metrics"):
        pytest.fail(f"the table of metrics in README.md should be:\n\n{table}\n")


def test_systemd_takes_the_unit(tmp_path):
    (unit,) = blocks("ini", section("## Running it as a service"))
    assert "Type=notify\n" in unit
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine has no systemd")
    path = tmp_path / "sfm-stream.service"
    program = re.compile(r"(?<=^ExecStart=)\S+", re.MULTILINE)
    path.write_text(program.sub("/bin/true", unit))
    said = subprocess.run(  # noqa: S603
        [shutil.which("systemd-analyze"), "verify", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (said.returncode, said.stderr) == (0, "")


def test_the_summary_is_explained(lived_in):
    summary = json.loads((lived_in / "runs/demo-001/summary.json").read_text())
    told = section("## What a run leaves behind")
    for name in (*summary, *summary["horizons"]["1"]):
        assert f"`{name}`" in told
    for entry in (lived_in / "runs/demo-001").iterdir():
        assert entry.name in told


def test_every_key_is_explained():
    rows = [
        f"| `{name}` | {'' if default == 'null' else f'`{default}`'} | {text} |"
        for name, default, text in keys()
    ]
    table = "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])
    if table not in section("## Configuration"):
        pytest.fail(f"the table of keys in README.md should be:\n\n{table}\n")


@pytest.mark.parametrize("number", range(len(blocks("toml"))))
def test_a_configuration_shown_can_be_meant(number):
    config.parse(blocks("toml")[number])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_an_example_is_named_and_opens(path, checkout, sfm_stream):
    assert f"configs/{path.name}" in README
    config.load(path)
    words = ("check", f"configs/{path.name}")
    if reads_private_data(words) and not (checkout.parent / "shared").is_dir():
        pytest.skip("the data it reads is not part of the project")
    assert sfm_stream(*words)[0] == 0


def test_the_rooms_are_those_that_are_there():
    there = {
        path.relative_to(ROOT).as_posix()
        for house in ("sfm_stream", "connectors")
        for path in (ROOT / house).rglob("*.py")
    }
    assert sorted(first_column(section("## The rooms"))) == sorted(there)


def test_every_file_named_is_there():
    named = set(re.findall(NAMED_FILE, README))
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_every_link_within_leads_somewhere():
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
    links = re.findall(r"\]\(#([^)]+)\)", README)
    assert links
    assert set(links) <= anchors
