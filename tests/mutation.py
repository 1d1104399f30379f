"""Change the code one small thing at a time, and see that a test minds.

    python -m tests.mutation [MODULE ...] [--sample 40] [--seed 0]

takes a sample of all one-line changes that cosmic-ray knows (the extra `mutation`)
to modules that are not compiled, runs the tests of the module on a copy of the tree,
and prints each change that no test minded, and how many there were. Changes of
annotations alone are left out: nothing reads them.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
COPIED = ("sfm_stream", "connectors", "tests", "configs", "pyproject.toml")
NEEDS_NAMES = ("VariableReplacer", "VariableInserter", "ExceptionReplacer")
PATIENCE = 120.0
MODULES = {
    "sfm_stream/events/blocks.py": ("events_blocks",),
    "sfm_stream/engine/streams.py": ("engine_streams", "engine_labels"),
    "sfm_stream/daemon/quarantine.py": ("daemon_quarantine",),
    "sfm_stream/daemon/status/latest.py": ("daemon_status_latest",),
    "sfm_stream/daemon/status/model.py": ("daemon_status_model",),
    "sfm_stream/storage/tensors.py": ("storage_tensors",),
    "connectors/live/connection/backoff.py": ("connectors_live_connection_backoff",),
    "connectors/live/connection/liveness.py": ("connectors_live_connection_liveness",),
}


class Bare(ast.NodeTransformer):
    """Leaves out annotations and docstrings."""

    def visit_AnnAssign(self, node):
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)


def meaning(code):
    """Give what of a module is run, as text; None if it is no Python."""
    try:
        return ast.dump(Bare().visit(ast.parse(code)))
    except SyntaxError:
        return None


def mutants(code):
    """Give all changed forms of a module, each once."""
    found = {}
    for name in operator_names():
        if name.endswith(NEEDS_NAMES):
            continue
        operator, number = get_operator(name)(), 0
        while (mutant := mutate_code(code, operator, number)) is not None:
            found.setdefault(meaning(mutant), mutant)
            number += 1
    for same in (meaning(code), None):
        found.pop(same, None)
    return list(found.values())


def is_minded(tree, tests):
    """Say whether a test fails, or never ends."""
    files = [f"tests/test_{name}.py" for name in tests]
    line = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", *files]
    surroundings = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(  # noqa: S603 our own tests
            line, cwd=tree, env=surroundings, capture_output=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def changed(code, mutant):
    """Give the lines that differ."""
    lines = difflib.unified_diff(code.splitlines(), mutant.splitlines(), n=0)
    return [line for line in lines if line[0] in "+-" and line[1:3] not in ("++", "--")]


def measure(tree, module, sample, random):
    """Try some changes of a module; give how many there are, were tried, and lived."""
    path = tree / module
    code = path.read_text()
    if is_minded(tree, MODULES[module]):
        raise RuntimeError(f"{module}: its tests fail as it is")
    every = mutants(code)
    tried = random.sample(every, min(sample, len(every)))
    survivors = 0
    for mutant in tried:
        path.write_text(mutant)
        if not is_minded(tree, MODULES[module]):
            survivors += 1
            sys.stdout.write(
                f"{module}: survived\n  " + "\n  ".join(changed(code, mutant))
            )
            sys.stdout.write("\n")
            sys.stdout.flush()
    path.write_text(code)
    return len(every), len(tried), survivors


def main(modules, sample, seed):
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for part in COPIED:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copy(ROOT / part, tree / part)
        for module in modules or MODULES:
            random = Random(f"{module} {seed}")
            every, tried, survivors = measure(tree, module, sample, random)
            sys.stdout.write(
                f"{module}: {tried} of {every} tried, {survivors} survived\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
