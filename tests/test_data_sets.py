"""Files of others, in the form their documents give, become ours."""

from __future__ import annotations

import zipfile

import numpy as np
import polars as pl
import pytest

from tests import data_sets


def packed(first, second):
    """Write two signals in turn as WFDB's format 212 does."""
    out = bytearray()
    pairs = np.array([first, second]).T & 0xFFF
    for a, b in pairs.tolist():
        out += bytes([a & 0xFF, a >> 8 | (b >> 8) << 4, b & 0xFF])
    return bytes(out)


def test_ecg_is_unpacked_with_its_sign(tmp_path):
    signal = [995, 1011, 0, -1, -2048, 2047]
    (tmp_path / "100.dat").write_bytes(packed(signal, [7, -7, 2047, -2048, 0, 1]))
    data_sets.main(["ecg", str(tmp_path / "100.dat"), str(tmp_path / "ecg.parquet")])
    frame = pl.read_parquet(tmp_path / "ecg.parquet")
    assert frame.schema == {"mlii": pl.Int16}
    assert frame["mlii"].to_list() == signal


def test_lean_quotes_are_joined_day_by_day(tmp_path):
    folder = tmp_path / "xauusd"
    folder.mkdir()
    for day, row in (
        ("20140502", "0,1290.1,1290.5"),
        ("20140501", "43.142,1291.677,1292.033"),
    ):
        with zipfile.ZipFile(folder / f"{day}_quote.zip", "w") as file:
            file.writestr(f"{day}_xauusd_tick_quote.csv", f"{row}\n")
    sources = [str(path) for path in folder.iterdir()]
    data_sets.main(["lean", *sources, str(tmp_path / "gold.parquet")])
    made = pl.read_parquet(tmp_path / "gold.parquet")
    midnight = np.datetime64("2014-05-02", "s").astype(np.int64) * 10**7
    assert made.rows() == [
        (13_989_024_000_431_420, 1_291_677, 1_292_033),
        (midnight, 1_290_100, 1_290_500),
    ]


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="expected ecg or lean, was 'wav'"):
        data_sets.main(["wav", "a", str(tmp_path / "b")])
