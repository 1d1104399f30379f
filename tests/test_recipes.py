"""The recipes "To add ..." of sfm_stream/README.md, followed on a copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class Copy:
    """A copy of the tree that recipes change and whose code is then used."""

    def __init__(self, place):
        self._place = place
        for name in ("sfm_stream", "connectors"):
            # Times are kept, so the machine code that lies beside the sources is too.
            shutil.copytree(ROOT / name, place / name)

    def insert(self, file, before, lines):
        """Put lines before the first one that begins so."""
        path = self._place / file
        text = path.read_text(encoding="utf-8")
        assert f"\n{before}" in text, f"{file} has no line {before!r}"
        path.write_text(text.replace(f"\n{before}", f"\n{lines}\n{before}", 1))

    def replace(self, file, old, new):
        """Put other text where it first stands."""
        path = self._place / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def add(self, file, text):
        """Write a new file."""
        (self._place / file).write_text(text, encoding="utf-8")

    def use(self, code):
        """Run code over the changed tree; give what it printed."""
        done = subprocess.run(  # noqa: S603 our own interpreter and package
            [sys.executable, "-P", "-c", code],
            env={**os.environ, "PYTHONPATH": str(self._place)},
            cwd=self._place,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


# An engine that took a ramp in, its last records, and where its code came from.
TRY = """
import numpy as np, sfm_stream
from pathlib import Path
from sfm_stream.config import from_tree
from sfm_stream.engine import Engine
from sfm_stream.events import Block
assert Path(sfm_stream.__file__).parents[1] == Path.cwd()
engine = Engine(from_tree({tree}), ["y"])
time = 10**18 + 10**9 * np.arange(60)
said = engine.run(Block.ticks(time, np.sin(time / 7e9)[:, None], streams=("a",)))
forecasts = said.columns["forecasts"]
"""


def test_a_key_is_a_field_of_its_table(copy):
    copy.insert(
        "sfm_stream/settings/tables.py", "    block: Annotated[",
        '    motto: Annotated[str, doc("said at the start")] = "tick"',
    )  # fmt: skip
    said = copy.use(
        "from sfm_stream import config\n"
        "read = config.parse('', ['run.motto=tock'])\n"
        "told = {name: (value, text) for name, value, text in config.keys()}\n"
        "print(read.run.motto, *told['run.motto'])"
    )
    assert said == 'tock "tick" said at the start'


def test_an_expert_is_a_line_of_the_table(copy):
    copy.insert(
        "sfm_stream/settings/experts.py", '    "sfm": Expert(',
        '    "rls-errors": Expert(1.0, ("errors", "one"), "fast"),',
    )  # fmt: skip
    said = copy.use(
        TRY.format(tree={"forecast": {"experts": ["last", "rls-errors"]}})
        + "print(engine.experts, bool(np.isfinite(forecasts['mean']).all()))"
    )
    assert said == "('last', 'rls-errors') True"


def test_a_metric_is_a_function_and_a_line_and_every_summary_has_it(copy):
    copy.insert(
        "sfm_stream/running/metrics.py", "METRICS: Mapping",
        'def above(scores: Scores) -> NDArray[Any]:\n'
        '    """Whether the truth was above the forecast."""\n'
        "    return np.greater(scores.truth, scores.mean)\n\n",
    )  # fmt: skip
    copy.insert(
        "sfm_stream/running/metrics.py", '    "mse": squared,', '    "above": above,'
    )
    said = copy.use(
        TRY.format(tree={})
        + "from sfm_stream.running.metrics import COMPARED, METRICS\n"
        "print('above' in METRICS, 'above' in COMPARED)\n"
        "from sfm_stream.evaluate import contest\n"
        "print('above' in contest.FIGURES)"
    )
    assert said.split() == ["True", "True", "True"]


def test_a_backend_is_a_class_a_line_and_a_name_in_the_settings(copy):
    copy.add(
        "sfm_stream/backends/echo.py",
        "from sfm_stream.backends.numba import Numba\n"
        "class Echo(Numba):\n"
        "    name = 'echo'\n",
    )
    copy.insert(
        "sfm_stream/backends/contract.py", '    "torch": Place(',
        '    "echo": Place("sfm_stream.backends.echo", "Echo", ("numba",)),',
    )  # fmt: skip
    copy.replace(
        "sfm_stream/settings/tables.py",
        'Literal["auto", "numba"',
        'Literal["auto", "echo", "numba"',
    )
    said = copy.use(
        TRY.format(tree={"run": {"backend": "echo"}})
        + "print(engine.backend.name, len(forecasts['mean']))"
    )
    assert said == "echo 60"


SINK = '''
"""Counts records."""
class CountingSink:
    def __init__(self, path, position):
        self.path, self.count = path, (position or {}).get("count", 0)
    def write(self, records):
        self.count += len(records)
    def flush(self):
        self.path.write_text(str(self.count))
    def position(self):
        return {"count": self.count}
    def close(self):
        self.flush()
'''


def test_a_venue_is_a_protocol_a_line_and_a_row(copy):
    page = (ROOT / "connectors/README.md").read_text(encoding="utf-8")
    example = page.split("### A venue of your own")[1].split("```python\n")[1]
    protocol = example.split("\n\nmarket = Market(")[0]
    copy.add(
        "connectors/venues/market.py",
        '"""A market: frames in, events out."""\n' + protocol,
    )
    copy.insert(
        "connectors/venues/protocol.py", '    "okx": ',
        '    "market": "connectors.venues.market:Market",',
    )  # fmt: skip
    copy.insert(
        "connectors/capture/replies.py", '    "okx": ',
        '    "market": Replies(topics=lambda asked: tuple(asked.get("pairs", ()))),',
    )  # fmt: skip
    said = copy.use(
        "from connectors.capture.replies import heard, replies_of\n"
        "from connectors.venues.protocol import open_venue\n"
        "from sfm_stream.config import from_tree\n"
        "venue = open_venue(from_tree({'stream': {'symbols': ['AB']}}), 'market')\n"
        'frame = b\'{"on":"trades","data":{"pair":"AB","id":%d,"price":9.5,\''
        'b\'"size":2,"sold":true,"ms":1700000000000}}\'\n'
        "at = 1_700_000_000_500_000_000\n"
        "events = [x for i in (1, 1, 4) for x in venue.receive(frame % i, at)]\n"
        "print([type(x).__name__ for x in events], dict(venue.counters),"
        " heard(replies_of('market'), venue.subscribe(venue.topics)[0])[0])"
    )
    assert said == "['Tick', 'Alive', 'Gap', 'Tick'] {'duplicates': 1} ('AB',)"


def test_a_sink_is_a_class_a_path_and_a_case(copy):
    copy.add("sfm_stream/sinks/counting.py", SINK)
    opening = "sfm_stream/sinks/opening.py"
    copy.insert(opening, '    "jsonl": ', '    "counting": "count.txt",')
    copy.insert(
        opening, '        case "jsonl":',
        '        case "counting":\n'
        "            from sfm_stream.sinks.counting import CountingSink\n"
        "            return CountingSink(path, position)",
    )  # fmt: skip
    said = copy.use(
        TRY.format(tree={}) + "from sfm_stream.settings import Sink\n"
        "from sfm_stream.sinks import open_sink\n"
        "sink = open_sink(Sink(kind='counting'), Path.cwd(), {'experts': ()})\n"
        "sink.write(said); sink.close()\n"
        "print(Path('count.txt').read_text() == str(len(said)), len(said) > 60)"
    )
    assert said == "True True"


def test_an_input_is_a_code_and_a_branch_and_a_stage_a_file_and_a_call(copy):
    inputs, scale = "sfm_stream/state/inputs.py", "sfm_stream/kernels/inputs/scale.py"
    copy.insert(inputs, "HANDS = ", "SQUARE = 99")
    copy.insert(inputs, "TRANSFORMS = {", 'SQUARES = {"square": SQUARE}')
    copy.insert(inputs, "CALL = re.compile", "TRANSFORMS = {**TRANSFORMS, **SQUARES}")
    copy.insert(
        scale, "    if code == ELAPSED:", "    if code == 99:\n        return now * now"
    )
    copy.add(
        "sfm_stream/kernels/tally.py",
        '"""A stage that counts the ticks it saw."""\n'
        "from sfm_stream.jit.scalars import inline\n"
        "from sfm_stream.kernels.rows import vector\n"
        "@inline\n"
        "def count(s, row):\n"
        "    vector(row.f64, s.at_tally, 1)[0] += 1.0\n",
    )
    copy.insert(
        "sfm_stream/state/places.py", '        Place("gauges", f64',
        '        Place("tally", f64, (1,), "ticks seen"),',
    )  # fmt: skip
    tick = "sfm_stream/kernels/tick.py"
    copy.insert(
        tick,
        "from sfm_stream.kernels.rows import",
        "from sfm_stream.kernels import tally",
    )
    copy.insert(
        tick, "                observe(s, table, row, work, b,",
        "                tally.count(s, row)",
    )  # fmt: skip
    said = copy.use(
        TRY.format(tree={"features": {"inputs": ["change", "square(y)"]}})
        + "print(engine.inputs['y'], engine.view('tally')[0, 0])\n"
        "print('tally' in engine.snapshot()[0])"
    )
    assert said.split("\n") == ["('change', 'square(y)') 60.0", "True"]
