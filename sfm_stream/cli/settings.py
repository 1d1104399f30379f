"""The commands `check`, for a configuration, and `explain`, for a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfm_stream.cli.options import (
    AsJson,
    Overrides,
    Settings,
    Strict,
    app,
    load,
    opened,
    print_json,
    say,
)
from sfm_stream.errors import SHOWN, listed

if TYPE_CHECKING:
    from sfm_stream.config import Config

MARK = "  # set"
OPTIONS = "feed.options."
WRITTEN = {
    "Duration": "a number and one of ns, us, ms, s, m, h, d, such as `100ms`, or empty",
    "Horizons": "a list of ticks (`1`), ranges of them (`1..24`) and times (`1s`)",
}
"""The syntax of values that have types of their own."""


@app.command()
def check(
    config: Settings,
    everything: Annotated[
        bool, typer.Option("--all", help="Show the defaults too, and mark your keys.")
    ] = False,
    strict: Strict = False,
    as_json: AsJson = False,
    overrides: Overrides = None,
) -> None:
    """Validate a configuration, its feed, sinks, device and memory; show your keys."""
    from connectors import is_live, open_live
    from sfm_stream.backends.contract import choose
    from sfm_stream.config import to_tree, written
    from sfm_stream.running import judgement, room
    from sfm_stream.sinks import expect_sinks
    from sfm_stream.state import inputs as features

    settings = load(config, overrides)
    choose(settings.run.backend, settings.run.device)
    expect_sinks(settings.sink)
    live = is_live(settings.feed.connector)
    readable = None if live else opened(settings)
    feed = open_live(settings) if readable is None else readable
    plan = features.plan(settings, feed.fields)
    needed = room.expect(settings, feed.fields)
    most = room.most(settings, feed.fields)
    pace = room.tick_us(settings, feed.fields)
    inputs = dict(zip(plan.targets, plan.names, strict=True))
    tree = to_tree(settings)
    rows = None if readable is None else judgement.preview(settings, readable)
    if as_json:
        found = {"config": tree, "fields": plan.fields, "inputs": inputs,
                 "events": feed.total(), "model_mib": needed, "most_mib": most,
                 "tick_us": pace, "first_rows": rows}  # fmt: skip
        print_json(found)
        _judge(rows, str(config), strict=strict)
        return
    typer.echo(_shown(tree, written(config, overrides or []), everything=everything))
    for line in _inputs(inputs):
        typer.echo(line)
    typer.echo(_needs(needed, most, settings))
    if pace is not None:
        typer.echo(f"# a tick of a stream takes about {pace:,.0f} us here and now")
    _judge(rows, str(config), strict=strict)


def _inputs(names: Mapping[str, Sequence[str]]) -> list[str]:
    """Write the inputs of the first targets as lines; `--json` gives all."""
    told = [f"# inputs for {target}: {listed(seen)}" for target, seen in names.items()]
    more = f"# and of {len(told) - SHOWN:,} more targets: --json has them"
    return [*told[:SHOWN], more] if len(told) > SHOWN else told


def _needs(mib: float, most: float, settings: Config) -> str:
    """Say how much memory the model needs at the start, and at most."""
    from sfm_stream.running import room

    told = f"# the model needs {mib:,.1f} MiB for {room.streams(settings)} stream(s)"
    if most == mib:
        return told
    pending = settings.learn.max_pending
    return f"{told}, and up to {most:,.1f} MiB when {pending:,} forecasts wait"


def _judge(found: Mapping[str, Any] | None, source: str, *, strict: bool) -> None:
    """Say how many of the first rows can be taken; fail if too few can."""
    from sfm_stream.report import terminal
    from sfm_stream.running import judgement

    if found is None:
        return
    say(f"of the first {found['rows']:,} rows {found['taken']:,} can be taken")
    terminal.show_account(found)
    judgement.refuse(found, source, strict=strict)


def _shown(tree: dict[str, Any], given: Mapping[str, Any], *, everything: bool) -> str:
    """Give settings as TOML: only the written keys, or all keys with those marked."""
    from sfm_stream.storage import toml

    if everything:
        return "\n\n".join(
            _marked(toml.write({name: value}), given.get(name, {}))
            for name, value in tree.items()
        )
    kept = {name: _only(tree[name], value) for name, value in given.items()}
    head = "# what you set; all else has its default: --all shows it\n"
    return head + toml.write(kept)


def _only(full: Any, given: Any) -> Any:  # noqa: ANN401 any value of TOML
    """Keep only the written keys of resolved settings."""
    if isinstance(given, Mapping) and isinstance(full, Mapping):
        return {key: _only(full[key], one) for key, one in given.items() if key in full}
    if isinstance(full, list | tuple) and full and isinstance(full[0], Mapping):
        return [_only(*pair) for pair in zip(full, given, strict=True)]
    return full


def _marked(text: str, given: Any) -> str:  # noqa: ANN401 any value of TOML
    """Mark the lines of one or several tables whose keys were written."""
    tables = iter(given if isinstance(given, list | tuple) else [given])
    lines: list[str] = []
    table: Mapping[str, Any] = {}
    here = table
    for line in text.splitlines():
        if line.startswith("["):
            inner = line.strip("[]").partition(".")[2]
            table = table if inner else next(tables)
            here = table.get(inner, {}) if inner else table
        key, equals, _ = line.partition(" = ")
        lines.append(line + MARK * bool(equals and key in here))
    return "\n".join(lines)


@app.command()
def explain(
    name: Annotated[
        str,
        typer.Argument(metavar="KEY", help="A key or a table: learn.window, learn."),
    ],
) -> None:
    """Explain a key: its meaning, its default and its allowed values."""
    from sfm_stream.config import Config, keys
    from sfm_stream.errors import ConfigError, did_you_mean

    known = {key: (default, text) for key, default, text in keys()}
    found = [key for key in known if key == name or key.startswith(f"{name}.")]
    options = _options(name)
    if not found and not options:
        listed = "`sfm-stream feeds NAME` lists the options of a connector"
        tables = dict.fromkeys(key.partition(".")[0] for key in known)
        near = did_you_mean(name, [*tables, *known])
        hint = listed if name.startswith(OPTIONS) else near
        raise ConfigError(name, "unknown key", hint)
    for key in found:
        _tell(key, *known[key], _kind(Config, key))
    for (key, default, text), tables in options.items():
        of = f"option of {', '.join(tables)}: {text}"
        kind = _kind(next(iter(tables.values())), key.removeprefix(OPTIONS))
        _tell(key, default, of, kind)


def _options(name: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Find an option: key, default, description, and the connectors that have it."""
    from connectors import FEEDS, options_of
    from connectors.venues.protocol import VENUES
    from sfm_stream.config import keys

    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for connector in (*FEEDS, *VENUES) if name.startswith(OPTIONS) else ():
        table = options_of(connector)
        for one in keys(table, OPTIONS):
            if one[0] == name:
                found.setdefault(one, {})[connector] = table
    return found


def _tell(key: str, default: str, text: str, kind: Any) -> None:  # noqa: ANN401 msgspec's types
    typer.echo(f"{key}: {text}")
    typer.echo(f"  default: {'none' if default == 'null' else default}")
    typer.echo(f"  may be: {_allowed(kind)}")


def _kind(table: Any, name: str) -> Any:  # noqa: ANN401 msgspec's types
    """Find the type of a key, without its description."""
    from msgspec import inspect

    kind: Any = inspect.type_info(table)
    for part in name.split("."):
        kind = getattr(kind, "item_type", kind)
        (kind,) = (field.type for field in kind.fields if field.name == part)
        while isinstance(kind, inspect.Metadata):
            kind = kind.type
    return kind


def _allowed(kind: Any) -> str:  # noqa: ANN401 msgspec's types
    """Describe the allowed values of a type."""
    from msgspec import inspect

    words: Mapping[type, str] = {
        inspect.BoolType: "true or false", inspect.StrType: "text",
        inspect.IntType: "a whole number", inspect.FloatType: "a number",
        inspect.DictType: "a table",
    }  # fmt: skip
    bounds: Mapping[str, str] = {
        "gt": "above", "ge": "at least", "lt": "below", "le": "at most",
    }  # fmt: skip
    match kind:
        case inspect.Metadata():
            return _allowed(kind.type)
        case inspect.LiteralType():
            return f"one of {', '.join(map(str, kind.values))}"
        case inspect.UnionType():
            named = [t for t in kind.types if not isinstance(t, inspect.NoneType)]
            return " or ".join(_allowed(one) for one in named)
        case inspect.CustomType():
            return WRITTEN[kind.cls.__name__]
        case inspect.VarTupleType() | inspect.ListType():
            return f"a list of: {_allowed(kind.item_type)}"
    limits = [f"{said} {at}" for name, said in bounds.items()
              if (at := getattr(kind, name, None)) is not None]  # fmt: skip
    return ", ".join([words.get(type(kind), "any value"), *limits])
