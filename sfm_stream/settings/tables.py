"""The tables of settings: keys, types, defaults and descriptions.

Each key is described only here; the page of keys is made from these descriptions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from sfm_stream.settings.experts import EXPERTS
from sfm_stream.settings.sections import NONE, Count, Few, Positive, Section, doc
from sfm_stream.settings.units import Duration, Horizons

Fold = Literal["last", "first", "min", "max", "sum", "mean", "count"]
Missing = Literal["void", "hold", "mean"]
RecordKind = Literal[
    "forecasts", "scores", "updates", "voided", "rejected", "decisions", "choices"
]


class Feed(Section, frozen=True):
    """The source of ticks."""

    connector: Annotated[
        str,
        doc(
            "`synthetic`, `csv`, `jsonl`, `excel`, `parquet`, `activity`, `capture`, "
            "`river`, a venue as `sfm-stream feeds` names it, or `package:Class`"
        ),
    ] = "synthetic"
    path: Annotated[
        str | tuple[str, ...],
        doc("file, glob or list of files, in natural order; `-`: what is piped in"),
    ] = ""
    time: Annotated[
        str | tuple[str, ...],
        doc(
            "time column, or columns that make up the time together; empty: the column "
            "that reads as times; `-`: none, ticks are `period` apart from 2000-01-01"
        ),
    ] = ""
    time_unit: Annotated[
        Literal["auto", "s", "ms", "us", "100ns", "ns", "iso", "excel"],
        doc("unit of the times; `auto`: by each value's size; `excel`: Excel's days"),
    ] = "auto"
    columns: Annotated[dict[str, str], doc("field name = column name, if another")] = {}
    symbol: Annotated[str, doc("column that names the stream of each row")] = ""
    period: Annotated[Duration, doc("time between ticks of a feed without times")] = (
        Duration("1s")
    )
    queue: Annotated[Positive, doc("live events that may wait for the model")] = 65_536
    overload: Annotated[
        Literal["block", "conflate", "drop_oldest"],
        doc(
            "what happens when the queue is full: the venue waits, only the latest "
            "tick of each stream is kept, or the oldest are dropped and a gap says so"
        ),
    ] = "block"
    processes: Annotated[
        Annotated[int, Meta(ge=0, le=64)] | None,
        doc(
            "processes that read the live feeds (the largest of several feeds counts); "
            "0: the model's own; unset: 1 where there are two cores or more"
        ),
    ] = None
    stale_after: Annotated[
        Duration,
        doc(
            "silence after which a live feed is stale, e.g. `10s`; after twice that it "
            "connects anew; empty: what suits the venue"
        ),
    ] = NONE
    symbols: Annotated[
        tuple[str, ...], doc("what this feed subscribes to; empty: `stream.symbols`")
    ] = ()
    prefix: Annotated[
        str, doc("put before the names of its streams, to tell two venues apart")
    ] = ""
    options: Annotated[
        dict[str, Any],
        doc("options of this connector alone; `sfm-stream feeds NAME` lists them"),
    ] = {}


class Stream(Section, frozen=True):
    """The streams, and the fields of a tick."""

    name: Annotated[str, doc("name of a stream without one")] = "main"
    fields: Annotated[
        tuple[str, ...], doc("numeric fields of a tick; empty: all the feed has")
    ] = ()
    columns: Annotated[
        Literal["fields", "streams"],
        doc("what a file's columns are; a stream of its own has one field, `value`"),
    ] = "fields"
    names: Annotated[
        Literal["feed", "file"],
        doc(
            "`feed`: as the feed names them; `file`: a stream per file, merged by time"
        ),
    ] = "feed"
    symbols: Annotated[tuple[str, ...], doc("streams to keep; empty: all")] = ()
    max_streams: Annotated[
        Positive, doc("most streams learned from; ticks of further ones are rejected")
    ] = 10_000
    every: Annotated[
        Duration, doc("fold ticks into bins of this length, e.g. `100ms`")
    ] = NONE
    folds: Annotated[
        dict[str, Fold], doc("field = how it is folded into a bin; default `last`")
    ] = {}
    missing: Annotated[
        Missing,
        doc("a missing value: reject the tick, repeat the last or take the mean"),
    ] = "void"
    clock: Annotated[
        Literal["tick", "time"], doc("whether memory turns per tick or with time")
    ] = "tick"
    max_gap: Annotated[
        Duration, doc("a longer silence than this is a gap, e.g. `60s`; empty: never")
    ] = NONE


class Target(Section, frozen=True):
    """The forecast values and horizons."""

    values: Annotated[
        tuple[str, ...],
        doc("fields or derived values (`mid`) to forecast; empty: the first field"),
    ] = ()
    predict: Annotated[
        Literal["change", "log-return", "level"],
        doc("what the model predicts; records are in the target's own units"),
    ] = "change"
    horizons: Annotated[Horizons, doc('ticks (`1`, `"1..24"`) or time (`"1s"`)')] = (
        Horizons((1,))
    )


class Features(Section, frozen=True):
    """The inputs of the model."""

    inputs: Annotated[
        tuple[str, ...],
        doc(
            "`change`, `level`, `log-return` of the target; `change(bid)` of a field; "
            "`change(*)` of all; derived values; `elapsed`, `weekday`, "
            "`hour`: sine and cosine over a day and over half a day"
        ),
    ] = ("change", "level", "change(*)", "level(*)", "hour")
    widest: Annotated[
        Positive | None,
        doc("most fields for which `*` is all; with more, it leaves out other targets"),
    ] = 16
    most: Annotated[
        Positive | None,
        doc("most other fields for which `*` is all; with more, the target alone"),
    ] = 128
    helpers: Annotated[
        Annotated[int, Meta(ge=0, le=64)] | None,
        doc(
            "of the fields that `change(*)` leaves out, how many a target sees: those "
            "whose last change tells most of its next move; 0: none"
        ),
    ] = 3
    screened: Annotated[
        Annotated[int, Meta(ge=30)],
        doc("ticks of a stream after which the helpers are chosen"),
    ] = 1_000
    lags: Annotated[
        Positive, Few, doc("own past changes given to the least-squares experts")
    ] = 24
    errors: Annotated[
        Count, Few, doc("own past errors given to the least-squares experts")
    ] = 2
    seasons: Annotated[
        bool,
        doc(
            "whether least squares see the same time of other days, where ticks divide "
            "the day evenly"
        ),
    ] = True
    scale: Annotated[
        Positive, doc("memory of running means and variances, in ticks")
    ] = 5_000


class Model(Section, frozen=True):
    """The State-Frequency Memory cell."""

    cell: Annotated[Literal["sfm", "a-sfm"], doc("fixed or adaptive frequencies")] = (
        "sfm"
    )
    states: Annotated[Positive, Few, doc("states D")] = 16
    frequencies: Annotated[Positive, Few, doc("frequencies K")] = 8
    outputs: Annotated[Positive, Few, doc("outputs M")] = 16
    grid: Annotated[
        Literal["paper", "half", "log"], doc("how the frequencies are laid out")
    ] = "log"
    longest_period: Annotated[
        float, Meta(ge=2), doc("longest period of the `log` grid, ticks")
    ] = 256.0
    longest_memory: Annotated[
        float, Meta(ge=2), doc("longest memory of a state at the start, ticks")
    ] = 256.0
    shared: Annotated[
        bool, doc("whether all streams have one cell, which learns from what all see")
    ] = False
    readout: Annotated[
        Literal["amplitude", "amplitude+phase"], doc("what outputs see of the memory")
    ] = "amplitude+phase"


class Learn(Section, frozen=True):
    """Truncated back-propagation through time."""

    enabled: Annotated[bool, doc("whether weights change; false freezes them")] = True
    window: Annotated[Positive, doc("ticks that gradients flow back, h")] = 32
    every: Annotated[Positive, doc("ticks between updates, h'")] = 32
    schedule: Annotated[
        Literal["staggered", "together", "striped"],
        doc(
            "whether streams that tick together learn at different ticks; `striped`: "
            "they do, and each spreads an update over the ticks until its next"
        ),
    ] = "staggered"
    replay: Annotated[
        Count,
        doc("ticks of the past that are kept, to be learned again window by window"),
    ] = 4_000
    optimizer: Annotated[Literal["adam"], doc("the optimiser")] = "adam"
    lr: Annotated[float, Meta(gt=0, le=10), doc("learning rate")] = 3e-3
    clip: Annotated[float, Meta(gt=0), doc("largest norm of the gradient")] = 1.0
    gap: Annotated[
        Literal["decay", "reset", "keep"], doc("what a gap does to the memory")
    ] = "decay"
    max_pending: Annotated[
        Positive, doc("forecasts per stream and horizon that may wait for their truth")
    ] = 4096


class Forecast(Section, frozen=True):
    """The experts, and how they are combined into forecasts."""

    experts: Annotated[
        tuple[str, ...],
        doc(f"experts to ask, some of {', '.join(f'`{name}`' for name in EXPERTS)}"),
    ] = ("last", "rls", "sfm", "sfm-rls", "sfm-rls-wide")
    forgetting: Annotated[
        float, Meta(gt=0, le=1), doc("forgetting factor of `rls` and `sfm-rls`")
    ] = 0.9999
    fast: Annotated[float, Meta(gt=0, le=1), doc("forgetting factor of `rls-fast`")] = (
        0.99
    )
    soon: Annotated[
        float, Meta(gt=0, le=1), doc("forgetting factor of `sfm-rls-wide`")
    ] = 0.998
    ridge: Annotated[
        float,
        Meta(gt=0, le=1e12),
        doc("first ridge of least squares, but of `sfm-rls-wide`"),
    ] = 250.0
    levels: Annotated[
        tuple[Annotated[float, Meta(gt=0, lt=1)], ...],
        doc("levels of the intervals, rising; `lower` and `upper` are the last one's"),
    ] = (0.5, 0.8, 0.9)
    input_clip: Annotated[
        float,
        Meta(gt=0),
        doc("inputs and targets are clipped at this many standard deviations"),
    ] = 8.0
    wide_clip: Annotated[
        float,
        Meta(gt=0),
        doc("clip of inputs and targets of `sfm-rls-wide`, in standard deviations"),
    ] = 32.0


class Run(Section, frozen=True):
    """The execution of a run: backend, device, blocks and checkpoints."""

    warmup: Annotated[
        int | float, doc("first ticks (count or share) that are not scored")
    ] = 0
    checkpoint_every: Annotated[Positive, doc("ticks between checkpoints")] = 100_000
    backend: Annotated[
        Literal["auto", "numba", "cuda", "torch"],
        doc("what computes; `auto`: what fits the device"),
    ] = "auto"
    device: Annotated[
        str, doc("where it computes: `cpu`, or a GPU as `cuda`, `cuda:1`")
    ] = "cpu"
    threads: Annotated[
        Positive | None,
        doc("cores that share the rows of many streams, no record changes; unset: all"),
    ] = None
    block: Annotated[Positive, doc("events per block of a replay")] = 16_384
    round: Annotated[
        Duration,
        doc("how long a live event waits for others, to be learned together"),
    ] = NONE
    seed: Annotated[Count, doc("seed of the first weights")] = 0


class Sink(Section, frozen=True):
    """A further place where a daemon writes records."""

    kind: Annotated[
        str,
        doc(
            "`jsonl`, `parquet`, `sqlite`, the name of an installed package's entry "
            "point in `sfm_stream.sinks`, or `package.module:Class`"
        ),
    ]
    path: Annotated[
        str, doc("file or folder, relative to the run's; empty: a name after the kind")
    ] = ""
    records: Annotated[
        tuple[RecordKind, ...], doc("kinds of records it takes; empty: all")
    ] = ()
    streams: Annotated[tuple[str, ...], doc("streams it takes; empty: all")] = ()
    queue: Annotated[Positive, doc("records that may wait")] = 65_536
    overload: Annotated[
        Literal["spill", "drop"],
        doc("beyond the queue, records wait on disk or are lost and counted"),
    ] = "spill"


class Daemon(Section, frozen=True):
    """The live process: address, checkpoints, overload and limits."""

    listen: Annotated[
        str,
        doc("address of page, metrics, websocket; port 0: any free; empty: none"),
    ] = "127.0.0.1:8788"
    hosts: Annotated[
        tuple[str, ...],
        doc(
            "further host names that requests may use, besides `localhost`, numeric "
            "addresses and the host of `daemon.listen`"
        ),
    ] = ()
    checkpoint_every: Annotated[
        Duration, doc("least time between checkpoints; the longest is 60 times that")
    ] = Duration("15s")
    checkpoints: Annotated[Positive, doc("how many checkpoints are kept")] = 3
    retention: Annotated[
        Duration,
        doc("how long the journal is kept behind a checkpoint; empty: for ever"),
    ] = NONE
    disk_full: Annotated[
        Literal["halt", "go-on"],
        doc("if the journal cannot be written: stop, or go on without it"),
    ] = "halt"
    catch_up_after: Annotated[
        Duration,
        doc("learning pauses while the oldest waiting event is older than this"),
    ] = Duration("2s")
    quarantine_after: Annotated[
        Positive, doc("rejected ticks in a row after which a stream is shut out")
    ] = 1_000
    quarantine: Annotated[
        Duration, doc("how long it is shut out; doubles each time, up to an hour")
    ] = Duration("60s")
    ready_lag: Annotated[
        Duration, doc("not ready while the oldest waiting event is older than this")
    ] = Duration("5s")
    drain: Annotated[
        Duration,
        doc("time for waiting events and records when the daemon is told to stop"),
    ] = Duration("10s")
    lease: Annotated[
        Duration,
        doc("silence after which a process may lose its run to another one"),
    ] = Duration("10s")
    group: Annotated[
        str,
        doc("regular expression; streams whose first group is equal share a shard"),
    ] = ""


class Config(Section, frozen=True):
    """All settings of a run.

    Several feeds are written as tables `[[feed]]`, and sinks as tables `[[sink]]`.
    """

    feed: Feed = Feed()
    more_feeds: Annotated[tuple[Feed, ...], doc("the other tables of `[[feed]]`")] = ()
    stream: Stream = Stream()
    target: Target = Target()
    features: Features = Features()
    model: Model = Model()
    learn: Learn = Learn()
    forecast: Forecast = Forecast()
    run: Run = Run()
    sink: tuple[Sink, ...] = ()
    daemon: Daemon = Daemon()
