"""The rooms of the house: who may import whom, and what the core never touches.

Imports for type checkers count too: a type is a dependency.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sfm_stream"

# A module or room imports only from rows above its own. New ones are given a row here.
ROWS = [
    {"errors"},
    {"events", "records"},
    {"settings"},
    {"config", "jit"},
    {"feeds", "cell"},
    {"state"},
    {"kernels"},
    {"backends"},
    {"engine"},
    # The core ends here.
    {"notices", "outsiders"},
    {"drawing", "storage"},
    {"sinks"},
    {"running"},
    {"daemon", "river"},
    {"cluster", "report"},
    {"evaluate"},
    {"paper"},
    {"cli"},
    {"__main__"},
]
ROW = {name: row for row, names in enumerate(ROWS) for name in names}
CORE = set().union(*ROWS[: ROW["engine"] + 1])
# The same among the stages of a tick, `kernels`.
STAGES = [
    {"rows", "records"},
    {"inputs", "memory", "shares"},
    {"experts", "learning"},
    {"tick"},
]
STAGE = {name: row for row, names in enumerate(STAGES) for name in names}
# More files than a newcomer looks through.
MOST_FILES = 12

# What would let the outside in: clocks, files, sockets, threads, logs, chance.
FORBIDDEN = {
    "asyncio", "concurrent", "datetime", "fcntl", "io", "logging", "multiprocessing",
    "os", "pathlib", "polars", "queue", "random", "river", "secrets", "select",
    "shutil", "signal", "socket", "subprocess", "tempfile", "threading", "time",
    "urllib", "uuid", "websockets",
}  # fmt: skip
FORBIDDEN_CALLS = {"open", "print", "input", "exec", "eval", "breakpoint"}
TOUCHES_THE_OUTSIDE = {
    ("config.reading", "pathlib"): "`load` reads the one file that settings come from",
    ("cell.sequence.numba", "concurrent"): "threads share a batch of sequences",
    ("backends.spread", "concurrent"): "threads share rows, which changes no record",
    ("backends.spread", "os"): "says how many cores there are",
    ("backends.cuda.prelude", "pathlib"): "names `cell.cu`, a source of the package",
    ("backends.cuda.compiling", "io"): "collects what the compiler says",
    ("jit.cache", "pathlib"): "stale machine code is cleared from numba's cache",
}

CONNECTORS_MAY_IMPORT = {
    "config", "errors", "events", "feeds", "outsiders", "settings",
}  # fmt: skip

MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_CALLS = {
    "list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter",
    "OrderedDict", "SimpleNamespace", "Lock", "local",
}  # fmt: skip
WRITES = {
    "append", "extend", "insert", "remove", "pop", "popitem", "clear", "update",
    "setdefault", "add", "discard", "sort", "reverse", "appendleft", "fill",
}  # fmt: skip
MEMOS = {"cache", "lru_cache", "cached_property"}
REMEMBERS = {
    "connectors.venues.binance": "names of fields, which no other feed can see or change",
}

LONGEST_FUNCTION = 70
LONGEST_FILE = 400
# These may shrink, not grow, and leave the list when they fit.
LONG_FILES = {}

# Modules without a test file of their own name, and the one that tests them. This list
# shrinks: whoever writes a module's tests takes it out.
TESTED_IN = {
    "daemon.rejoining": "test_daemon_worker.py",
    "state.layout": "test_state_bank.py",
    "state.places": "test_state_bank.py",
    "state.arena": "test_state_bank.py",
    "events.kinds": "test_events_columns.py",
    "config.catalogue": "test_config_reading.py",
    "config.checks": "test_config_reading.py",
    "config.former": "test_config_reading.py",
    "config.identity": "test_config_reading.py",
    "settings.derived": "test_state_inputs.py",
    "settings.experts": "test_state_experts.py",
    "settings.sections": "test_config_reading.py",
    "settings.tables": "test_config_reading.py",
    "backends.cuda.prelude": "test_backends_cuda_compiling.py",
    "backends.cuda.backend": "test_backends_cuda_chain.py",
    "backends.cuda.memory": "test_backends_cuda_running.py",
    "backends.cuda.stages.__init__": "test_backends_cuda_chain.py",
    "backends.cuda.stages.plan": "test_backends_cuda_chain.py",
    "backends.cuda.stages.ahead": "test_backends_cuda_chain.py",
    "backends.cuda.stages.after": "test_backends_cuda_chain.py",
    "backends.cuda.stages.team": "test_backends_cuda_chain.py",
    "backends.cuda.stages.pack": "test_backends_cuda_chain.py",
    "backends.cuda.stages.instead": "test_backends_cuda_chain.py",
    "backends.cuda.views": "test_backends_cuda_twins.py",
    "backends.numba": "test_backends_contract.py",
    "backends.interpreted": "test_backends_torch.py",
    "backends.torch_stages": "test_backends_torch.py",
    "engine.decode": "test_engine_identity.py",
    "engine.intake": "test_engine_streams.py",
    "engine.resampler": "test_engine_bins.py",
    "feeds": "test_connectors_capture_reader.py",
    "sinks.parquet.frames": "test_sinks_parquet_sink.py",
    "sinks.parquet.parts": "test_sinks_parquet_sink.py",
    "storage.journal.reader": "test_storage_journal_writer.py",
    "storage.moves": "test_cluster_moving.py",
    "running.verify.comparing": "test_running_verify_replaying.py",
    "running.homes": "test_cluster_moving.py",
    "cli.cluster": "test_cluster_moving.py",
    "storage.run_folder": "test_running_replay.py",
    "storage.fingerprint": "test_running_replay.py",
    "storage.toml": "test_running_replay.py",
    "daemon.signals": "test_daemon_process.py",
    "report.terminal": "test_cli.py",
    "drawing.__init__": "test_report_run_report.py",
    "report.run_report.__init__": "test_report_run_report.py",
    "report.run_report.content": "test_report_run_report.py",
    "report.run_report.curves": "test_report_run_report.py",
    "report.run_report.figures": "test_report_run_report.py",
    "report.page": "test_report_run_report.py",
    "report.runs": "test_report_run_report.py",
    "cli.report": "test_report_run_report.py",
    "paper.output.progress": "test_paper_tasks_signals.py",
    "cli.options": "test_cli.py",
    "cli.backtest": "test_cli.py",
    "cli.comparison": "test_evaluate_suite.py",
    "cli.live": "test_cli.py",
    "cli.service": "test_pages_commands.py",
    "cli.paper": "test_paper_tasks_signals.py",
    "evaluate.pace.eager_torch": "test_evaluate_pace_bench.py",
    "evaluate.pace.one_by_one": "test_evaluate_contest.py",
    "evaluate.pace.subject": "test_evaluate_pace_bench.py",
    "cell.sequence.gradient": "test_cell_sequence_torch.py",
    "cell.sfm": "test_cell.py",
    "cell.step": "test_cell.py",
    "cell.oracle": "test_cell.py",
    "kernels.learning.adapt": "test_engine_labels.py",
    "kernels.memory.backprop": "test_kernels_gradients.py",
    "kernels.memory.cell": "test_backends_torch.py",
    "kernels.experts.mature": "test_engine_core.py",
    "kernels.records": "test_engine_core.py",
    "kernels.rows": "test_engine_core.py",
    "kernels.shares": "test_backends_spread.py",
    "kernels.tick": "test_engine_core.py",
    "running.rss": "test_running_replay.py",
    "running.judgement.aims": "test_cli.py",
    "evaluate.peers.scaling": "test_evaluate_peers_registry.py",
    "evaluate.peers.simple": "test_evaluate_peers_registry.py",
    "evaluate.peers.river": "test_evaluate_peers_registry.py",
    "evaluate.peers.recurrent": "test_evaluate_peers_registry.py",
    "evaluate.pace.venue": "test_evaluate_pace_live.py",
    "evaluate.results": "test_evaluate_suite.py",
    "river.base": "test_river_regressor.py",
    "river.dataframes": "test_river_regressor.py",
    "connectors.live.endless": "test_connectors_live_merged.py",
    "connectors.live.readers.process": "test_connectors_live_readers_remote.py",
    "connectors.files.options": "test_connectors_options.py",
    "connectors.files.columns.plan": "test_connectors_files_kinds.py",
    "connectors.files.columns.seen": "test_connectors_files_kinds.py",
    "connectors.files.presets": "test_connectors_files_kinds.py",
    "connectors.venues.json.frames": "test_connectors_options.py",
    "connectors.venues.options": "test_connectors_options.py",
    "connectors.tally": "test_connectors_files_kinds.py",
    "connectors.files.text": "test_connectors_files_csv.py",
}
UNTESTED = {
    "__init__": "holds the version, and gives `Run` on",
    "__main__": "hands over to cli",
}


@cache
def modules(package):
    """Give dotted name, from the package's root, and syntax tree of each module."""
    root = ROOT / package
    found = {}
    for path in sorted(root.rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def room(name):
    return name.split(".")[0]


def imports(tree):
    """Give every absolute name that is imported anywhere in a module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room they enter"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(tree):
    """Give the rooms of our package that a module imports from."""
    parts = [name.split(".") for name in imports(tree)]
    return {p[1] for p in parts if p[0] == "sfm_stream" and not p[1].startswith("__")}


@cache
def everything():
    """Give the modules of both packages; connectors under their full name."""
    theirs = {
        f"connectors.{name}": tree for name, tree in modules("connectors").items()
    }
    return modules("sfm_stream") | theirs


def test_every_module_has_its_row():
    rooms = {room(name) for name in modules("sfm_stream")} - {"__init__"}
    assert rooms <= set(ROW), "give it a row"
    assert sum(map(len, ROWS)) == len(ROW), "a module stands in two rows"


@pytest.mark.parametrize("name", modules("sfm_stream"))
def test_a_module_imports_only_from_rows_above_its_own(name):
    mine = room(name)
    for other in rooms_imported(modules("sfm_stream")[name]) - {mine}:
        assert other in ROW, f"{name} imports {other}, which has no row"
        if mine == "__init__":  # `Run` is the one name that it gives on
            assert other == "report", f"the package itself imports {other}"
            continue
        assert ROW[other] < ROW[mine], f"{name} imports {other}, which is not above it"


@pytest.mark.parametrize("name", [n for n in modules("sfm_stream") if "kernels." in n])
def test_a_stage_imports_only_from_rows_above_its_own(name):
    mine = name.split(".")[1]
    parts = [full.split(".") for full in imports(modules("sfm_stream")[name])]
    for other in {p[2] for p in parts if p[:2] == ["sfm_stream", "kernels"]} - {mine}:
        assert STAGE[other] < STAGE[mine], f"{name} imports {other}, not above it"


def test_no_room_holds_more_files_than_one_looks_through():
    homes = [n.rpartition(".")[0] for n in everything() if not n.endswith("__init__")]
    assert {home for home in homes if home and homes.count(home) > MOST_FILES} == set()


@pytest.mark.parametrize("name", modules("connectors"))
def test_a_connector_knows_events_errors_and_settings_alone(name):
    assert rooms_imported(modules("connectors")[name]) <= CONNECTORS_MAY_IMPORT


@pytest.mark.parametrize("name", modules("sfm_stream"))
def test_only_the_command_line_knows_connectors(name):
    roots = {full.split(".")[0] for full in imports(modules("sfm_stream")[name])}
    assert "connectors" not in roots or room(name) == "cli"


def outside(tree):
    """Give what a module of the core imports or calls that it must not."""
    found = {full.split(".")[0] for full in imports(tree)} & FORBIDDEN
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            seedless = called.endswith("default_rng") and not node.args
            legacy = re.fullmatch(r"(np|numpy)\.random\.(?!default_rng|Gen).*", called)
            if called in FORBIDDEN_CALLS or seedless or legacy:
                found.add(called)
    return found


CORE_MODULES = [name for name in modules("sfm_stream") if room(name) in CORE]


@pytest.mark.parametrize("name", CORE_MODULES)
def test_the_core_knows_no_clock_file_socket_thread_log_or_chance(name):
    allowed = {what for where, what in TOUCHES_THE_OUTSIDE if where == name}
    assert outside(modules("sfm_stream")[name]) == allowed


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", {"time"}),
        ("def f():\n    from os.path import join", {"os"}),
        ("import numpy as np\nnp.random.normal()", {"np.random.normal"}),
        ("rng = np.random.default_rng()", {"np.random.default_rng"}),
        ("rng = np.random.default_rng(3)", set()),
        ("def f(path):\n    return open(path)", {"open"}),
        ("import math", set()),
    ],
)
def test_a_breach_of_the_core_is_seen(source, found):
    assert outside(ast.parse(source)) == found


def is_mutable(value):
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).split(".")[-1] in MUTABLE_CALLS
    return isinstance(value, MUTABLE)


def names_of(target):
    parts = target.elts if isinstance(target, ast.Tuple) else [target]
    return [ast.unparse(part) for part in parts]


def module_state(tree):
    """Give the names of a module's own variables that something could change.

    A table is a constant if it is named in capitals, or annotated as a Mapping, and
    nothing in the module writes to it; `global` and memos are never constant.
    """
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and is_mutable(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [name for target in targets for name in names_of(target)]
            annotation = ast.unparse(getattr(node, "annotation", ast.Constant("")))
            if not annotation.startswith(("Mapping", "Final")):
                found |= {n for n in names if n != "__all__" and n != n.upper()}
    for node in ast.walk(tree):
        found |= written(node)
    return found


def written(node):
    """Give the constants that a statement writes to, and other memories."""
    if isinstance(node, ast.Global):
        return set(node.names)
    if isinstance(node, ast.FunctionDef):
        decorators = [ast.unparse(d).split("(")[0] for d in node.decorator_list]
        memos = {name.split(".")[-1] for name in decorators} & MEMOS
        return {node.name} if memos else set()
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = ast.unparse(node.func.value)
        return {owner} if node.func.attr in WRITES and is_constant(owner) else set()
    targets = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = node.targets
    elif isinstance(node, ast.AugAssign):
        targets = [node.target]
    owners = {ast.unparse(t.value) for t in targets if isinstance(t, ast.Subscript)}
    return {owner for owner in owners if is_constant(owner)}


def is_constant(name):
    return re.fullmatch(r"(\w+\.)*[A-Z][A-Z0-9_]+", name) is not None


@pytest.mark.parametrize("name", everything())
def test_no_module_remembers_anything(name):
    found = module_state(everything()[name])
    assert bool(found) == (name in REMEMBERS), found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("seen = []", {"seen"}),
        ("SEEN = {}", set()),
        ("seen: Mapping[str, int] = {}", set()),
        ("seen = defaultdict(list)", {"seen"}),
        ("SEEN = {}\ndef f(x):\n    SEEN[x] = 1", {"SEEN"}),
        ("SEEN = []\ndef f(x):\n    SEEN.append(x)", {"SEEN"}),
        ("COUNT = 0\ndef f():\n    global COUNT\n    COUNT += 1", {"COUNT"}),
        ("from functools import cache\n@cache\ndef f(): ...", {"f"}),
        ("@functools.lru_cache(maxsize=3)\ndef f(): ...", {"f"}),
        ("NAMES = ('a', 'b')", set()),
        ("def f():\n    seen = []\n    seen.append(1)", set()),
    ],
)
def test_state_of_a_module_is_seen(source, found):
    assert module_state(ast.parse(source)) == found


def own_test_files(name):
    """Give the files that are a module's own tests by their name."""
    parts = [part for part in name.split(".") if part != "__init__"]
    tests, full = ROOT / "tests", "_".join(parts)
    if name.endswith("__init__"):
        return list(tests.glob(f"test_{full}_*.py")) if parts else []
    # The bare name counts where it is nobody else's.
    named = {full} if parts[-1] in ROW else {full, parts[-1]}
    return [f for n in named if (f := tests / f"test_{n}.py").exists()]


@pytest.mark.parametrize("name", everything())
def test_every_module_has_its_test_file(name):
    if name in TESTED_IN or name in UNTESTED:
        assert own_test_files(name) == [], f"take {name} out of the exceptions"
    else:
        assert own_test_files(name), f"write tests/test_{name.replace('.', '_')}.py"


@pytest.mark.parametrize("name", TESTED_IN)
def test_a_module_tested_elsewhere_is_tested_there(name):
    assert (ROOT / "tests" / TESTED_IN[name]).exists()


def test_the_exceptions_name_modules_that_exist():
    known = set(everything())
    named = {
        *UNTESTED,
        *TESTED_IN,
        *REMEMBERS,
        *LONG_FILES,
        *(w for w, _ in TOUCHES_THE_OUTSIDE),
    }
    assert named <= known


def loaded(module):
    """Give the packages that importing a module of ours loads."""
    script = f"import sys; import {module}; print(*sys.modules, sep='\\n')"
    done = subprocess.run(  # noqa: S603 our own interpreter and package
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("sfm_stream", {"torch", "river", "polars", "numba", "numpy"}),
        ("sfm_stream.config", {"torch", "river", "polars", "numba", "numpy"}),
        ("sfm_stream.records", {"torch", "river", "polars", "numba"}),
        ("sfm_stream.backends.contract", {"torch", "river", "polars", "numba"}),
        ("sfm_stream.state.bank", {"torch", "river", "polars", "numba"}),
        ("sfm_stream.engine", {"torch", "river", "polars"}),
        ("sfm_stream.cell", {"torch", "river", "polars", "numba"}),
        ("connectors", {"torch", "river", "polars", "numba", "websockets"}),
        ("sfm_stream.cli", {"torch", "river", "polars", "numba"}),
    ],
)
def test_a_module_starts_without_what_it_may_not_need(module, heavy):
    assert loaded(module) & heavy == set()


def functions(tree):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


@pytest.mark.parametrize("name", everything())
def test_no_function_outside_the_kernels_is_long(name):
    found = functions(everything()[name]) if room(name) != "kernels" else []
    lengths = {f.name: f.end_lineno - f.lineno + 1 for f in found}
    assert {f for f, lines in lengths.items() if lines > LONGEST_FUNCTION} == set()


@pytest.mark.parametrize("name", everything())
def test_no_file_is_too_long(name):
    lines = max((node.end_lineno for node in everything()[name].body), default=0)
    if name in LONG_FILES:
        assert lines > LONGEST_FILE, f"{name} fits now: take it out of LONG_FILES"
    assert lines <= LONG_FILES.get(name, LONGEST_FILE)
