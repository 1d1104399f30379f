from __future__ import annotations

from sfm_stream.sinks import MemorySink
from tests.records_rig import some


def test_memory_keeps_records():
    sink = MemorySink()
    for start in (0, 10):
        sink.write(some(start, 10))
    sink.flush()
    sink.close()
    assert [len(block) for block in sink.records] == [38, 38]
    assert list(sink.rows())[38:] == list(some(10, 10).rows())
    assert sink.position() == {"blocks": 2}
