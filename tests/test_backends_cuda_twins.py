"""The stages of the tick compile for a GPU, with none at hand."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

pytest.importorskip("numba_cuda", reason="needs the extra `cuda`")
pytest.importorskip("numba.cuda.np", reason="numba-cuda does not stand in for numba's")

from numba import cuda, from_dtype, types
from numba.cuda import compiler, dispatcher

from sfm_stream import config
from sfm_stream.backends.cuda import chain
from sfm_stream.backends.cuda.stages import instead
from sfm_stream.backends.cuda.stages.plan import Bank, Plan
from sfm_stream.backends.cuda.twins import Twins
from sfm_stream.kernels.rows import Events, Out
from sfm_stream.state import inputs, layout
from sfm_stream.state.arena import Arena

HOPPER = (9, 0)
I32, I64, F32, F64 = types.int32, types.int64, types.float32, types.float64


def array(kind, dimensions):
    return types.Array(kind, dimensions, "C")


def table_of(dimensions):
    whole, real = array(I64, dimensions), array(F64, dimensions)
    columns = (whole, real, whole, real, whole, real, array(I64, 2))
    return types.NamedTuple(columns, Out)


def arguments():
    settings = config.from_tree({})
    made = layout.lay_out(settings, inputs.plan(settings, ["value"]))
    arena = types.NamedTuple((array(F32, 2), array(F64, 2), array(I64, 2)), Arena)
    record = array(from_dtype(made.settings.dtype), 1)
    line, table = array(I64, 1), array(I64, 2)
    bank = types.NamedTuple((record, arena, arena, arena), Bank)
    events = types.NamedTuple(
        (array(types.int8, 1), line, line, line, array(F64, 2), line, line), Events
    )
    plan = types.NamedTuple(
        (array(I32, 1), line, table, array(I32, 2), array(I32, 1), array(I32, 2),
         array(I32, 1), array(I32, 1), table, array(I32, 1), table, array(F64, 2),
         table), Plan,
    )  # fmt: skip
    ticks = (bank, events, plan, table_of(3))
    return {
        "ahead": (*ticks, I64, I64),
        "judge": (bank, plan),
        "after": (*ticks, I64, I64),
        "account": ticks,
        "pack": (plan, table_of(3), table, table_of(2)),
    }


@pytest.mark.parametrize("name", ["ahead", "judge", "after", "account", "pack"])
def test_a_stage_compiles_from_the_cpus_own_sources(name, monkeypatch):
    hopper = SimpleNamespace(compute_capability=HOPPER)
    for module in (compiler, dispatcher):
        monkeypatch.setattr(module, "get_current_device", lambda: hopper)
    kernel = getattr(chain.compile_stages(), name)
    ptx, _ = cuda.compile_ptx(kernel.py_func, arguments()[name], cc=HOPPER)
    assert ".target sm_90" in ptx
    # What is not aligned would be read byte by byte; kinds of events are bytes.
    read = re.findall(r"\bld\.global(?:\.\w+)*\.(\w+)", ptx)
    assert read
    assert sum(kind in {"u8", "s8", "b8"} for kind in read) < 20
    # A function that no GPU has is left as a name for the linker.
    assert not re.search(r"\.extern \.func(?!.*vprintf)", ptx)


def test_what_takes_the_place_of_a_stage_that_is_gone_is_refused():
    with pytest.raises(LookupError, match=r"cell: expected a function stride"):
        Twins({"memory.cell.stride": instead.nothing})
