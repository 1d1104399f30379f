"""`cell.cu` compiles for the GPUs it is meant for, fits them, and does not spill."""

from __future__ import annotations

import pytest

from sfm_stream import config
from sfm_stream.backends.cuda import compiling, prelude
from sfm_stream.errors import ConfigError
from sfm_stream.state import inputs, layout

REASON = "needs the extra `cuda`"
core = pytest.importorskip("cuda.core", reason=REASON)
pathfinder = pytest.importorskip("cuda.pathfinder", reason=REASON)
C0 = {"states": 32, "frequencies": 8, "outputs": 32, "readout": "amplitude"}
# Bytes of shared memory that a block may have: the least of the three.
SHARED = 163 * 1024


def lay_out(horizons=(1,), **model):
    tree = {"model": model, "target": {"horizons": list(horizons)}}
    settings = config.from_tree(tree)
    return layout.lay_out(settings, inputs.plan(settings, ["value"]))


def has_nvrtc():
    try:
        pathfinder.load_nvidia_dynamic_lib("nvrtc")
    except pathfinder.DynamicLibNotFoundError:
        return False
    return True


needs_nvrtc = pytest.mark.skipif(not has_nvrtc(), reason=REASON + ": NVRTC is absent")


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("model", [{}, C0], ids=["default", "C0"])
def test_a_cell_held_in_registers_does_not_spill(model, architecture):
    made = lay_out(**model)
    shape = prelude.shape(made.sizes)
    assert shape.holds
    assert shape.holds_back
    kernels = {u.name: u for u in compiling.usage(made, architecture)}
    assert set(kernels) == set(compiling.ENTRIES)
    for kernel in kernels.values():
        assert kernel.spilled == kernel.stack == 0
        assert kernel.registers * shape.threads <= prelude.REGISTERS
    assert max(shape.forward_bytes, shape.backward_bytes) <= SHARED


@needs_nvrtc
def test_a_cell_too_large_for_registers_reads_its_weights_from_the_cache():
    made = lay_out(states=64, frequencies=9, outputs=40, cell="a-sfm")
    shape = prelude.shape(made.sizes)
    assert not shape.holds
    assert shape.items > 1
    for kernel in compiling.usage(made, "sm_90"):
        assert kernel.registers * shape.threads <= prelude.REGISTERS


def test_what_no_block_can_work_at_names_the_limit_and_the_way_out():
    with pytest.raises(ConfigError, match=r"4096 pairs.*smaller.*cpu"):
        prelude.shape(lay_out(states=128, frequencies=40, outputs=128).sizes)


@needs_nvrtc
def test_machine_code_is_kept_by_source_and_architecture(tmp_path):
    cache = core.utils.FileStreamProgramCache(tmp_path)
    made = lay_out(states=2, frequencies=2, outputs=2)
    first = compiling.compile_cell(made, "sm_90", cache)
    kept = len(cache)
    assert bytes(compiling.compile_cell(made, "sm_90", cache).code) == first.code
    assert len(cache) == kept == 1
    compiling.compile_cell(lay_out(states=3, frequencies=2, outputs=2), "sm_90", cache)
    assert len(cache) == 2
