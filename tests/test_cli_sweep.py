from __future__ import annotations

import json

import polars as pl

from sfm_stream.evaluate import kept


def test_a_sweep_ranks_every_combination_and_goes_on_when_called_again(
    tmp_path, sfm_stream
):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[feed]\nconnector = "synthetic"\noptions.ticks = 300\n[model]\nstates = 4\n'
        "frequencies = 2\n"
    )
    words = [
        "sweep", str(path), "--set", "learn.lr=1e-3,1e-2", "--set",
        "model.cell=sfm,a-sfm", "--out", str(tmp_path / "out"), "--json",
    ]  # fmt: skip
    code, out, err = sfm_stream(*words)
    assert code == 0, err
    points = json.loads(out.splitlines()[-1])["points"]
    skills = [point["skill"] for point in points]
    assert skills == sorted(skills, reverse=True)
    assert {tuple(point["settings"]) for point in points} == {
        ("learn.lr", "model.cell")
    }
    frame = pl.read_parquet(tmp_path / "out" / "results.parquet")
    assert sorted(frame["skill"].to_list(), reverse=True) == skills
    kept = {f: f.stat().st_mtime_ns for f in (tmp_path / "out/points").iterdir()}
    assert len(kept) == len(points) == 4
    assert sfm_stream(*words)[1] == out
    assert kept == {f: f.stat().st_mtime_ns for f in kept}


def test_an_impossible_setting_is_refused_before_anything_runs(tmp_path, sfm_stream):
    words = ["--set", "learn.lr=1e-3,-1", "--out", str(tmp_path / "out")]
    code, _, err = sfm_stream("sweep", "configs/demo.toml", *words)
    assert code == 1
    assert "learn.lr" in err
    assert not (tmp_path / "out").exists()


def test_an_interrupted_sweep_says_how_many_points_are_kept(
    tmp_path, sfm_stream, monkeypatch
):
    write, written = kept.write, []

    def interrupted(path, key, result):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(path, key, result)

    monkeypatch.setattr(kept, "write", interrupted)
    words = ["--set", "learn.lr=1e-3,1e-2", "--set", "feed.options.ticks=300"]
    words += ["--jobs", "2", "--out", str(tmp_path / "out")]
    code, _, err = sfm_stream("sweep", "configs/demo.toml", *words)
    assert code == 130
    assert "interrupted: 1 of 2 points are measured and kept; the same command" in err
    assert list((tmp_path / "out" / "points").iterdir()) == written
