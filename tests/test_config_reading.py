from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import pytest

from sfm_stream import config
from sfm_stream.config import Config
from sfm_stream.errors import ConfigError
from sfm_stream.settings import Sink
from sfm_stream.settings.units import Horizons

DAY_NS = 86_400 * 10**9
EXAMPLES = sorted(Path(__file__).parents[1].glob("configs/*.toml"))


def refusal(text, *overrides):
    with pytest.raises(ConfigError) as caught:
        config.parse(text, overrides)
    return str(caught.value)


def test_nothing_said_means_the_defaults():
    assert config.parse("") == Config()


def test_what_is_no_tree_of_tables_is_refused():
    with pytest.raises(ConfigError, match="settings: expected tables by name, was "):
        config.from_tree([])


def test_a_key_that_is_set_replaces_its_default_alone():
    read = config.parse("[learn]\nlr = 0.5\n[model]\nstates = 4")
    assert (read.learn.lr, read.model.states) == (0.5, 4)
    assert read.learn.window == Config().learn.window
    assert read.forecast == Config().forecast


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[modle]\nstates = 1", "modle: unknown key; did you mean 'model'?"),
        ("[model]\nstate = 1", "model.state: unknown key; did you mean 'states'?"),
        (
            "[learn]\nzzz = 1",
            (
                "learn.zzz: unknown key; there are: enabled, window, every, "
                "schedule, replay, optimizer, lr, clip, gap, max_pending"
            ),
        ),
        (
            "x = 1",
            (
                "x: unknown key; there are: feed, stream, target, features, model, "
                "learn, forecast, run, sink, daemon"
            ),
        ),
        ("model = 5", "model: expected a table [model], was 5"),
        ("[feed]\njson = 5", "feed.json: expected a table [feed.json], was 5"),
    ],
)
def test_an_unknown_key_is_refused_with_the_one_that_was_meant(text, message):
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[learn]\nlr = -1", "learn.lr: expected a number > 0.0, was -1"),
        ("[learn]\nlr = nan", "learn.lr: expected a number > 0.0, was nan"),
        ("[model]\nstates = 0", "model.states: expected a whole number >= 1, was 0"),
        (
            "[model]\nstates = 'many'",
            "model.states: expected a whole number, was 'many'",
        ),
        ("[model]\nstates = 1.5", "model.states: expected a whole number, was 1.5"),
        ("[learn]\nenabled = 1", "learn.enabled: expected true or false, was 1"),
        (
            "[forecast]\nlevels = [1.0]",
            "forecast.levels[0]: expected a number < 1.0, was 1.0",
        ),
        (
            "[forecast]\nforgetting = 1.5",
            "forecast.forgetting: expected a number <= 1.0, was 1.5",
        ),
        (
            "[model]\nlongest_period = 1",
            "model.longest_period: expected a number >= 2.0, was 1",
        ),
        ("[run]\nseed = -1", "run.seed: expected a whole number >= 0, was -1"),
        (
            "[model]\ncell = 'gru'",
            "model.cell: expected one of 'sfm', 'a-sfm', was 'gru'",
        ),
        ("[learn]\nlr = inf", "learn.lr: expected a number <= 10.0, was inf"),
        (
            "[target]\npredict = 'both'",
            "target.predict: expected one of 'change', 'log-return', 'level', "
            "was 'both'",
        ),
        (
            "[stream]\nfolds = {bid = 'avg'}",
            "stream.folds.bid: expected one of 'last', 'first', 'min', 'max', 'sum', "
            "'mean', 'count', was 'avg'",
        ),
        (
            "[target]\nhorizons = [1, 1.5]",
            "target.horizons: expected a whole number or text, was a number",
        ),
        (
            "[stream]\nfields = 'bid'",
            "stream.fields: expected a list, was 'bid'",
        ),
    ],
)
def test_an_impossible_value_is_named_with_what_was_expected(text, message):
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[target]\nhorizons = [5000]",
            (
                "learn.max_pending: expected at least the longest horizon 5000, "
                "was 4096; raise it or shorten target.horizons"
            ),
        ),
        (
            '[learn]\nschedule = "striped"\n[model]\nshared = true',
            (
                'model.shared: expected false with learn.schedule = "striped", was '
                'true; set learn.schedule = "staggered"'
            ),
        ),
        (
            '[learn]\nschedule = "striped"\n[run]\ndevice = "cuda:1"',
            (
                'run.device: expected "cpu" with learn.schedule = "striped", was '
                '"cuda:1"; set learn.schedule = "staggered"'
            ),
        ),
        (
            '[learn]\nschedule = "striped"\n[run]\nbackend = "torch"',
            (
                'run.backend: expected "numba" with learn.schedule = "striped", was '
                '"torch"; set learn.schedule = "staggered"'
            ),
        ),
        (
            "[learn]\nevery = 64",
            (
                "learn.every: expected at most learn.window = 32, was 64; "
                "ticks between windows would never be learned from"
            ),
        ),
        (
            "[run]\nwarmup = -1",
            "run.warmup: expected a count or a share below 1, was -1",
        ),
        (
            "[run]\nwarmup = 1.5",
            "run.warmup: expected a count or a share below 1, was 1.5",
        ),
        (
            "[run]\nwarmup = nan",
            "run.warmup: expected a count or a share below 1, was nan",
        ),
        ("[forecast]\nexperts = []", "forecast.experts: expected at least one, was []"),
        (
            "[forecast]\nexperts = ['last', 'rsl']",
            "forecast.experts[1]: expected an expert, was 'rsl'; did you mean 'rls'?",
        ),
        (
            "[forecast]\nexperts = ['arima']",
            (
                "forecast.experts[0]: expected an expert, was 'arima'; "
                "there are: last, rls, rls-fast, sfm, sfm-rls, sfm-rls-wide"
            ),
        ),
        (
            "[forecast]\nexperts = ['rls', 'rls']",
            "forecast.experts[1]: expected each name once, was 'rls' twice; "
            "leave one out",
        ),
        (
            "[stream]\nevery = '10'",
            "stream.every: expected a duration like '100ms', was '10'",
        ),
        (
            "[stream]\nmax_gap = 'long'",
            "stream.max_gap: expected a duration like '100ms', was 'long'",
        ),
        (
            "[feed]\nperiod = '0s'",
            "feed.period: expected a duration longer than 0, was '0s'",
        ),
        (
            "[stream]\nfields = ['a', 'b', 'a']",
            "stream.fields[2]: expected each name once, was 'a' twice; leave one out",
        ),
    ],
)
def test_values_that_cannot_stand_together_are_refused(text, message):
    assert refusal(text) == message


@pytest.mark.parametrize("warmup", ["0", "1000", "0.0", "0.25", "5"])
def test_a_warmup_is_a_count_or_a_share(warmup):
    assert config.parse(f"[run]\nwarmup = {warmup}").run.warmup == float(warmup)


def test_text_that_is_no_toml_is_refused_with_the_place():
    message = refusal("[learn\nlr = 1")
    assert message.startswith("config: not valid TOML: ")
    assert "line 1" in message


def test_a_file_that_is_no_toml_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[learn\nlr = 1")
    with pytest.raises(ConfigError, match=r"mine\.toml: not valid TOML: "):
        config.load(path)


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("learn.lr=0.5", "learn", "lr", 0.5),
        (" learn.lr = 1e-2 ", "learn", "lr", 0.01),
        ("learn.enabled=false", "learn", "enabled", False),
        ("model.cell=a-sfm", "model", "cell", "a-sfm"),
        ("model.cell='a-sfm'", "model", "cell", "a-sfm"),
        ("target.horizons=[1, '2s']", "target", "horizons", Horizons((1, "2s"))),
        ("feed.path=a=b.csv", "feed", "path", "a=b.csv"),
        ("feed.time=", "feed", "time", ""),
    ],
)
def test_an_override_replaces_what_the_text_says(override, section, key, value):
    text = "[learn]\nlr = 3.0\nenabled = true\n[model]\ncell = 'sfm'"
    read = config.parse(text, [override])
    assert getattr(getattr(read, section), key) == value


def test_the_last_override_wins():
    assert config.parse("", ["run.seed=1", "run.seed=2"]).run.seed == 2


@pytest.mark.parametrize("override", ["learn.lr", "lr=3", "=3", ".=3", "learn.=3", ""])
def test_an_override_without_section_key_and_value_is_refused(override):
    message = f"--set: expected section.key=value, was {override!r}"
    assert refusal("", override) == message


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        ("", "learn.rate=1", "learn.rate: unknown key; "),
        ("", "lern.lr=1", "lern: unknown key; did you mean 'learn'?"),
        ("", "learn.lr=-1", "learn.lr: expected a number > 0.0, was -1"),
    ],
)
def test_an_override_is_checked_like_the_text(text, override, message):
    assert refusal(text, override).startswith(message)


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        ("[[feed]]\n[[feed]]", "feed.queue=5", "one table [feed], was a list of them; "
         "set it in the file"),
        ("[[sink]]\nkind = 'jsonl'", "sink.path=x",
         "one table [sink], was a list of them; set it in the file"),
        ("feed = 5", "feed.path=x", "a table [feed], was 5"),
        ("[model]\nstates = 4", "model.states.x=3", "a table [model.states], was 4"),
        ("[target]\nhorizons = [1]", "target.horizons.x=3",
         "a table [target.horizons], was [1]"),
    ],
)  # fmt: skip
def test_an_override_of_what_is_not_one_table_is_refused(text, override, message):
    assert refusal(text, override) == f"--set: expected {message}"


def test_an_override_that_is_no_text_is_refused():
    assert refusal("", "stream.name=\udcff") == (
        "--set: expected UTF-8, was 'stream.name=\\udcff'"
    )


def test_a_file_is_read_with_its_overrides(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[stream]\nname = 'größe'\n", encoding="utf-8")
    read = config.load(path, ["run.seed=7"])
    assert (read.stream.name, read.run.seed) == ("größe", 7)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: "):
        config.load(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match=r"latin\.toml: cannot be read: "):
        config.load(tmp_path / "latin.toml")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid(path):
    assert isinstance(config.load(path), Config)


def test_a_tree_of_plain_values_becomes_the_same_settings_again():
    read = config.parse("[target]\nhorizons = [1, '1..3', '1s']\nvalues = ['mid']")
    assert config.from_tree(config.to_tree(read)) == read


@pytest.mark.parametrize(
    "override",
    [
        "stream.fields=['x']", "target.horizons=[2]", "features.lags=3",
        "model.states=5", "learn.lr=0.1", "forecast.levels=[0.5]", "run.seed=1",
    ],
)  # fmt: skip
def test_the_digest_changes_with_what_decides_the_model(override):
    changed = config.digest(config.parse("", [override]))
    assert changed != config.digest(Config())
    assert changed == config.digest(config.parse("", [override]))


def test_the_digest_of_an_early_run_is_still_that_of_its_settings():
    # keys that came later change it only where they are set
    early = "1c390071683fe5dcca1a42431f94adfe8d49d681d4292ac33621ee87f488332d"
    then = ["learn.every=16", "forecast.ridge=1.0", "forecast.levels=[0.9]",
            f"forecast.experts={json.dumps(config.FIRST_EXPERTS)}"]  # fmt: skip
    assert config.digest(config.parse("", then)) == early
    assert config.digest(config.of_first_runs(Config())) == early
    assert config.digest(Config()) != early
    assert config.digest(config.parse("", [*then, "stream.max_streams=5"])) != early


@pytest.mark.parametrize(
    "override",
    [
        "feed.path=other.csv", "feed.connector=csv", "run.block=7", "run.warmup=10",
        "run.checkpoint_every=1", "run.backend=torch",
    ],
)  # fmt: skip
def test_the_digest_is_blind_to_where_ticks_come_from_and_to_the_pace(override):
    changed = config.parse("", [override])
    assert changed != Config()
    assert config.digest(changed) == config.digest(Config())


FEEDS = """
[[feed]]
connector = "binance"
prefix = "b:"
[[feed]]
connector = "kraken"
symbols = ["BTC/USD"]
[stream]
symbols = ["btcusdt"]
"""


def test_several_feeds_become_one_configuration_each():
    read = config.parse(FEEDS)
    one, two = config.each_feed(read)
    assert (one.feed.connector, one.stream.symbols) == ("binance", ("btcusdt",))
    assert (two.feed.connector, two.stream.symbols) == ("kraken", ("BTC/USD",))
    assert one.more_feeds == two.more_feeds == ()
    assert config.from_tree(config.to_tree(read)) == read


def test_a_single_feed_is_its_own_configuration():
    read = config.parse("[stream]\nsymbols = ['x']")
    assert config.each_feed(read) == (read,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[[feed]]\n[[feed]]\nconector = 'csv'",
            "feed[1].conector: unknown key; did you mean 'connector'?",
        ),
        ("feed = []", "feed: expected at least one table [[feed]], was []"),
        ("sink = [3]", "sink[0]: expected a table [sink[0]], was 3"),
        (
            "[[sink]]\nkind = 'jsonl'\npth = 'x'",
            "sink[0].pth: unknown key; did you mean 'path'?",
        ),
        (
            "[daemon]\nretention = 'long'",
            "daemon.retention: expected a duration like '100ms', was 'long'",
        ),
        ("more_feeds = []", "more_feeds: unknown key"),
    ],
)
def test_a_list_of_tables_is_refused_where_it_is_wrong(text, message):
    assert refusal(text).startswith(message)


def names(table, at=""):
    """Give the full name of every key in a table and the tables within."""
    for key in table.__struct_fields__:
        value = getattr(table, key)
        if key == "sink":  # a list of tables, which is empty by default
            yield from (f"sink.{name}" for name in Sink.__struct_fields__)
        elif key != "more_feeds":
            inner = isinstance(value, msgspec.Struct)
            yield from names(value, f"{at}{key}.") if inner else [f"{at}{key}"]


def test_every_key_is_listed_with_default_and_description():
    rows = list(config.keys())
    listed = {name: (default, text) for name, default, text in rows}
    assert set(listed) == set(names(Config()))
    for name, (default, text) in listed.items():
        assert text, name
        section, _, key = name.rpartition(".")
        if section == "sink":
            continue
        # What the table says is the default can be written into a file again.
        value = config.parse(f"[{section}]\n{key} = {default}") if default not in {
            "null", "{}"} else Config()  # fmt: skip
        assert value == Config(), name


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        Config().learn.lr = 1.0
    assert math.isclose(Config().learn.lr, 3e-3)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5_000])
def test_a_value_without_end_is_an_error_of_the_settings(text):
    for told, overrides in ((f"[run]\nseed = {text}", ()), ("", (f"run.seed={text}",))):
        with pytest.raises(ConfigError):
            config.parse(told, overrides)


@pytest.mark.parametrize("deep", ["a = " + "[" * 100_000, "a = " + "{b = " * 100_000])
def test_tables_nested_without_end_are_an_error_of_the_settings(deep):
    with pytest.raises(ConfigError, match=r"config: "):
        config.parse(deep)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("lease = '500ms'", "daemon.lease: expected at least 1 s, was '500ms'"),
        ("group = '('", "daemon.group: no regular expression: "),
        ("group = 'a+'", "daemon.group: expected a group in parentheses, was 'a+'"),
    ],
)
def test_a_lease_or_group_that_cannot_work_is_refused(value, message):
    assert refusal(f"[daemon]\n{value}").startswith(message)


def test_one_level_of_former_versions_is_a_list_of_one():
    with pytest.warns(FutureWarning, match=r"write forecast.levels = \[0.8\]"):
        read = config.parse("[forecast]\nlevel = 0.8")
    assert read.forecast.levels == (0.8,)
    with pytest.raises(ConfigError, match=r"expected forecast\.levels alone"):
        config.parse("[forecast]\nlevel = 0.8\nlevels = [0.5]")


def test_the_ridge_of_its_own_that_sfm_rls_had_is_left_out_aloud():
    with pytest.warns(FutureWarning, match=r"forecast\.loose is no longer used"):
        read = config.parse("[forecast]\nloose = 1.0\nridge = 5.0")
    assert read == config.parse("[forecast]\nridge = 5.0")


@pytest.mark.parametrize("levels", ["[]", "[0.9, 0.5]", "[0.5, 0.5]"])
def test_levels_that_do_not_rise_are_refused(levels):
    with pytest.raises(ConfigError, match=r"forecast\.levels: expected"):
        config.parse(f"[forecast]\nlevels = {levels}")
