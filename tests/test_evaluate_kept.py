from __future__ import annotations

import pytest

from sfm_stream.evaluate import kept


def test_a_result_is_given_back_under_its_own_key_alone(tmp_path):
    path = tmp_path / "deep" / "one.json"
    key = kept.key({"lr": 1e-3}, "source")
    assert kept.read(path, key) is None
    kept.write(path, key, {"skill": 0.5})
    assert kept.read(path, key) == {"skill": 0.5}
    assert kept.read(path, kept.key({"lr": 2e-3}, "source")) is None


def test_a_torn_file_is_as_if_it_were_not_there(tmp_path):
    path = tmp_path / "one.json"
    kept.write(path, "k", {"skill": 0.5})
    path.write_bytes(path.read_bytes()[:-9])
    assert kept.read(path, "k") is None


def test_the_code_is_another_after_a_change_but_not_after_one_of_a_shell(tmp_path):
    (tmp_path / "engine.py").write_text("a = 1")
    before = kept.code([tmp_path])
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "shown.py").write_text("b = 1")
    assert kept.code([tmp_path]) == before
    (tmp_path / "engine.py").write_text("a = 2")
    assert kept.code([tmp_path]) != before


def test_a_file_with_a_shells_name_elsewhere_decides(tmp_path):
    before = kept.code([tmp_path])
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "replay.py").write_text("a = 1")
    assert kept.code([tmp_path]) != before


@pytest.mark.parametrize("shell", kept.SHELLS)
def test_every_shell_is_there(shell):
    assert (kept.PACKAGE / shell).exists()
