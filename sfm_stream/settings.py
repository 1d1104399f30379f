"""All settings, as one frozen tree of tables.

Each key's description stands here and nowhere else; its page is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from sfm_stream.units import Duration, Horizons

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Few = Meta(le=1_000_000)  # squares of sizes are counted in 64 bits
Fold = Literal["last", "first", "min", "max", "sum", "mean", "count"]
Missing = Literal["void", "hold", "mean"]
RecordKind = Literal[
    "forecasts", "scores", "updates", "voided", "rejected", "decisions"
]


Part = Literal["inputs", "lags", "errors", "one", "cell"]
PARTS: tuple[str, ...] = get_args(Part)
"""What experts of least squares see, side by side in this order."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


NONE = Duration("")


def _doc(text: str) -> Meta:
    return Meta(description=text)


Match = dict[str, str | tuple[str, ...]]


class Json(Section, frozen=True):
    """What the frames of any feed of JSON look like.

    A path is keys and positions with dots between them, from the record; from the frame
    if it begins with `$.`. A condition is a table of paths and the text found there, or
    a list of texts, or `*` for anything; all its lines must hold.
    """

    subscribe: Annotated[
        tuple[str, ...],
        _doc("frames sent: `{topic}` makes one per symbol, `{topics}` one with a list"),
    ] = ()
    match: Annotated[Match, _doc("condition of the frames that hold ticks")] = {}
    records: Annotated[
        str, _doc("path of the record in a frame, or of a list of them")
    ] = ""
    codes: Annotated[
        dict[str, dict[str, float]], _doc("field = what its texts count as")
    ] = {}
    name: Annotated[
        str, _doc("pattern of which the first group is the stream's name")
    ] = ""
    id: Annotated[str, _doc("path of an id that rises; repeated ones are dropped")] = ""
    contiguous: Annotated[bool, _doc("whether an id left out is a tick lost")] = False
    history: Annotated[
        Match, _doc("condition of frames of before the subscription")
    ] = {}
    repeats: Annotated[
        bool, _doc("whether the first tick of a connection is of before it")
    ] = False
    acknowledged: Annotated[
        Match, _doc("condition of answers that take a subscription")
    ] = {}
    refused: Annotated[Match, _doc("condition of answers that refuse one")] = {}
    topic: Annotated[str, _doc("path of the symbol such an answer is about")] = ""
    alive: Annotated[Match, _doc("condition of heartbeats and pongs")] = {}
    pong: Annotated[str, _doc("a frame that is a pong, word by word")] = ""
    departing: Annotated[
        Match, _doc("condition of warnings that the connection will be closed")
    ] = {}
    ping: Annotated[str, _doc("frame that keeps a connection; empty: none")] = ""
    ping_every: Annotated[Duration, _doc("how often it is sent")] = Duration("20s")


class Feed(Section, frozen=True):
    """Where ticks come from."""

    connector: Annotated[
        str,
        _doc(
            "`synthetic`, `csv`, `parquet`, `activity`, `capture`, `river`, a venue "
            "as `sfm-stream feeds` names it, or `package:Class`"
        ),
    ] = "synthetic"
    path: Annotated[
        str | tuple[str, ...],
        _doc(
            "file, glob or list of files, read in natural order; `-`: what is piped in"
        ),
    ] = ""
    time: Annotated[
        str | tuple[str, ...],
        _doc(
            "time column, or columns that tell it together; empty: the one that reads "
            "as times; `-`: none, ticks are `period` apart, from 2000-01-01"
        ),
    ] = ""
    time_unit: Annotated[
        Literal["auto", "s", "ms", "us", "100ns", "ns", "iso"],
        _doc("unit of the time column; `auto` decides per value by magnitude"),
    ] = "auto"
    columns: Annotated[
        dict[str, str], _doc("field name = column name, where they differ")
    ] = {}
    symbol: Annotated[str, _doc("column that names the stream of each row")] = ""
    period: Annotated[Duration, _doc("time between ticks of a feed without times")] = (
        Duration("1s")
    )
    venue: Annotated[str, _doc("whose protocol a capture holds")] = "binance"
    url: Annotated[str, _doc("address of a venue; empty: its public one")] = ""
    channel: Annotated[
        str, _doc("which messages of a venue are ticks; empty: its best bid and ask")
    ] = ""
    queue: Annotated[
        Positive, _doc("live events that may wait for the model before `overload`")
    ] = 65_536
    overload: Annotated[
        Literal["block", "conflate", "drop_oldest"],
        _doc(
            "a full queue lets the venue wait, keeps the latest tick of each stream, "
            "or forgets the oldest ones with a gap"
        ),
    ] = "block"
    processes: Annotated[
        Annotated[int, Meta(ge=0, le=64)] | None,
        _doc(
            "processes that read the live feeds (the largest of several feeds counts); "
            "0: the model's own; unset: 1 where there are two cores or more"
        ),
    ] = None
    stale_after: Annotated[
        Duration,
        _doc(
            "silence that makes a live feed stale, e.g. `10s`, and twice that a new "
            "connection; empty: as the venue is known to be"
        ),
    ] = NONE
    symbols: Annotated[
        tuple[str, ...],
        _doc("what this feed subscribes to; empty: `stream.symbols`"),
    ] = ()
    prefix: Annotated[
        str, _doc("put before its streams' names, so that two venues' stay apart")
    ] = ""
    dataset: Annotated[str, _doc("name of a data set that River ships")] = "WaterFlow"
    signal: Annotated[
        Literal["tones", "chirp", "regimes", "square", "sawtooth"],
        _doc("shape of the synthetic signal"),
    ] = "tones"
    ticks: Annotated[Positive, _doc("length of the synthetic signal")] = 20_000
    noise: Annotated[float, Meta(ge=0), _doc("its noise, standard deviation")] = 0.1
    seed: Annotated[Count, _doc("its seed")] = 0
    json: Json = Json()
    options: Annotated[
        dict[str, Any],
        _doc("what this connector alone knows; `sfm-stream feeds NAME` lists it"),
    ] = {}


class Stream(Section, frozen=True):
    """What a tick is."""

    name: Annotated[str, _doc("name of the stream of a feed that names none")] = "main"
    fields: Annotated[
        tuple[str, ...], _doc("numeric fields of a tick; empty: all the feed has")
    ] = ()
    symbols: Annotated[tuple[str, ...], _doc("streams to keep; empty: all")] = ()
    max_streams: Annotated[
        Positive, _doc("most streams learned from; ticks of further ones are rejected")
    ] = 10_000
    every: Annotated[
        Duration, _doc("fold ticks into bins of this length, e.g. `100ms`")
    ] = NONE
    folds: Annotated[
        dict[str, Fold], _doc("how a field folds into a bin (default `last`)")
    ] = {}
    missing: Annotated[
        Missing,
        _doc("a missing value rejects the tick, holds the last, or is the mean"),
    ] = "void"
    clock: Annotated[
        Literal["tick", "time"], _doc("whether memory turns per tick or with time")
    ] = "tick"
    max_gap: Annotated[
        Duration,
        _doc("a longer silence than this is a gap, e.g. `60s`; empty: none is"),
    ] = NONE


class Target(Section, frozen=True):
    """What is forecast."""

    values: Annotated[
        tuple[str, ...],
        _doc("fields or derived values (`mid`); empty: the first field"),
    ] = ()
    predict: Annotated[
        Literal["change", "log-return", "level"],
        _doc("what the model predicts; records are in the target's own units"),
    ] = "change"
    horizons: Annotated[Horizons, _doc('ticks (`1`, `"1..24"`) or time (`"1s"`)')] = (
        Horizons((1,))
    )


class Features(Section, frozen=True):
    """What the model sees of a tick."""

    inputs: Annotated[
        tuple[str, ...],
        _doc(
            "`change`, `level`, `log-return` of the target; `change(bid)` of a field; "
            "`change(*)` of all; derived values; `elapsed`, `weekday`, "
            "`hour`, which is sine and cosine of a day's and of half a day's turn"
        ),
    ] = ("change", "level", "change(*)", "level(*)", "hour")
    lags: Annotated[
        Positive, Few, _doc("own past changes given to the least-squares experts")
    ] = 24
    errors: Annotated[
        Count, Few, _doc("own past errors given to the least-squares experts")
    ] = 2
    scale: Annotated[
        Positive, _doc("ticks over which running means and variances forget")
    ] = 5_000


class Model(Section, frozen=True):
    """The State-Frequency Memory cell."""

    cell: Annotated[Literal["sfm", "a-sfm"], _doc("fixed or adaptive frequencies")] = (
        "sfm"
    )
    states: Annotated[Positive, Few, _doc("states D")] = 16
    frequencies: Annotated[Positive, Few, _doc("frequencies K")] = 8
    outputs: Annotated[Positive, Few, _doc("outputs M")] = 16
    grid: Annotated[
        Literal["paper", "half", "log"], _doc("how the frequencies are laid out")
    ] = "log"
    longest_period: Annotated[
        float, Meta(ge=2), _doc("longest period of the `log` grid, ticks")
    ] = 256.0
    longest_memory: Annotated[
        float, Meta(ge=2), _doc("longest memory at birth, ticks")
    ] = 256.0
    readout: Annotated[
        Literal["amplitude", "amplitude+phase"], _doc("what the outputs see of memory")
    ] = "amplitude+phase"


class Learn(Section, frozen=True):
    """Truncated back-propagation through time."""

    enabled: Annotated[bool, _doc("false freezes the weights")] = True
    window: Annotated[Positive, _doc("ticks gradients flow back through, h")] = 32
    every: Annotated[Positive, _doc("ticks between updates, h'")] = 16
    optimizer: Annotated[Literal["adam"], _doc("the optimiser")] = "adam"
    lr: Annotated[float, Meta(gt=0), _doc("learning rate")] = 3e-3
    clip: Annotated[float, Meta(gt=0), _doc("largest norm of the gradient")] = 1.0
    gap: Annotated[
        Literal["decay", "reset", "keep"], _doc("what a gap does to the memory")
    ] = "decay"
    max_pending: Annotated[
        Positive, _doc("forecasts of a stream and horizon that may wait for their due")
    ] = 4096


class Expert(NamedTuple):
    """Who is asked for a forecast at each tick.

    Attributes:
        trust: part of the trust at birth, when the mixture still says the last value.
            Least squares learn first; where they have nothing to go by, the last value
            soon has their share.
        sees: first and last part of the regressors, one of `PARTS`; () of one that is
            not an expert of least squares.
        forgets: key of `[forecast]` that holds its forgetting factor.
    """

    trust: float
    sees: tuple[()] | tuple[Part, Part] = ()
    forgets: Literal["forgetting", "fast"] = "forgetting"


EXPERTS: Mapping[str, Expert] = {
    "last": Expert(7.0),
    "rls": Expert(6.0, ("inputs", "one")),
    "rls-fast": Expert(1.0, ("lags", "one"), "fast"),
    "sfm": Expert(3.0),
    "sfm-rls": Expert(2.0, ("inputs", "cell")),
}
"""The one table of experts: a line here makes one more of least squares."""


class Forecast(Section, frozen=True):
    """How experts become forecasts."""

    experts: Annotated[
        tuple[str, ...],
        _doc(f"who forecasts: some of {', '.join(f'`{name}`' for name in EXPERTS)}"),
    ] = tuple(EXPERTS)
    forgetting: Annotated[
        float, Meta(gt=0, le=1), _doc("forgetting factor of least squares")
    ] = 0.9999
    fast: Annotated[
        float, Meta(gt=0, le=1), _doc("forgetting factor of `rls-fast`")
    ] = 0.99
    ridge: Annotated[float, Meta(gt=0), _doc("ridge of least squares at birth")] = 1.0
    level: Annotated[float, Meta(gt=0, lt=1), _doc("level of the interval")] = 0.9
    input_clip: Annotated[
        float,
        Meta(gt=0),
        _doc("inputs and targets are clipped at this many deviations"),
    ] = 8.0


class Run(Section, frozen=True):
    """How a run is carried out."""

    warmup: Annotated[
        int | float, _doc("ticks (or share of them) learned from but not scored")
    ] = 0
    checkpoint_every: Annotated[Positive, _doc("ticks between checkpoints")] = 100_000
    backend: Annotated[
        Literal["auto", "numba", "torch"], _doc("which kernels compute")
    ] = "auto"
    device: Annotated[str, _doc("device of the torch backend")] = "cpu"
    block: Annotated[Positive, _doc("events per block of a replay")] = 16_384
    seed: Annotated[Count, _doc("seed of the weights at birth")] = 0


class Sink(Section, frozen=True):
    """One more place for a daemon's records."""

    kind: Annotated[
        str,
        _doc(
            "`jsonl`, `parquet`, `sqlite`, the name of an installed package's entry "
            "point in `sfm_stream.sinks`, or `package.module:Class`"
        ),
    ]
    path: Annotated[
        str, _doc("file or folder, from the run's folder; empty: named for the kind")
    ] = ""
    records: Annotated[
        tuple[RecordKind, ...], _doc("kinds of records it takes; empty: all")
    ] = ()
    streams: Annotated[tuple[str, ...], _doc("streams it takes; empty: all")] = ()
    queue: Annotated[Positive, _doc("records that may wait before `overload`")] = 65_536
    overload: Annotated[
        Literal["spill", "drop"],
        _doc("what a full queue cannot hold waits on disk, or is counted and lost"),
    ] = "spill"


class Daemon(Section, frozen=True):
    """How a live process looks after itself."""

    listen: Annotated[
        str,
        _doc(
            "address of `/status`, `/metrics`, `/healthz`, `/readyz` and the websocket "
            "sink; port 0: any that is free; empty: none"
        ),
    ] = "127.0.0.1:8788"
    hosts: Annotated[
        tuple[str, ...],
        _doc(
            "names under which it may be asked, besides `localhost`, the one of "
            "`daemon.listen` and numeric addresses"
        ),
    ] = ()
    checkpoint_every: Annotated[
        Duration, _doc("least time between checkpoints; 20 times it is the most")
    ] = Duration("15s")
    checkpoints: Annotated[Positive, _doc("how many of them are kept")] = 3
    retention: Annotated[
        Duration,
        _doc("how long the journal is kept once a checkpoint covers it; empty: always"),
    ] = NONE
    disk_full: Annotated[
        Literal["halt", "go-on"],
        _doc("whether a journal that cannot be written stops the daemon"),
    ] = "halt"
    catch_up_after: Annotated[
        Duration, _doc("age of the oldest waiting event at which learning pauses")
    ] = Duration("2s")
    quarantine_after: Annotated[
        Positive, _doc("ticks of a stream rejected in a row before it is shut out")
    ] = 1_000
    quarantine: Annotated[
        Duration, _doc("for how long, at first; twice as long each time, up to an hour")
    ] = Duration("60s")
    ready_lag: Annotated[
        Duration, _doc("age of the oldest waiting event beyond which it is not ready")
    ] = Duration("5s")
    drain: Annotated[
        Duration,
        _doc("time that waiting events and records get when it is told to stop"),
    ] = Duration("10s")


class Config(Section, frozen=True):
    """All settings of a run.

    Several feeds are written `[[feed]]`, each in a table of its own, and sinks
    `[[sink]]`.
    """

    feed: Feed = Feed()
    more_feeds: Annotated[tuple[Feed, ...], _doc("the other tables of `[[feed]]`")] = ()
    stream: Stream = Stream()
    target: Target = Target()
    features: Features = Features()
    model: Model = Model()
    learn: Learn = Learn()
    forecast: Forecast = Forecast()
    run: Run = Run()
    sink: tuple[Sink, ...] = ()
    daemon: Daemon = Daemon()
