"""Commands that run the paper's experiments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfm_stream.cli.options import AsJson, app, listed, print_json, say
from sfm_stream.errors import ConfigError

if TYPE_CHECKING:
    from sfm_stream.paper.training.trials import Order

paper = typer.Typer(
    help="Carry out the paper's experiments.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(paper, name="paper")

Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Folder of the results; results in it are not computed again.",
    ),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Minutes instead of hours: less data and time.")
]
Models = Annotated[str, typer.Option(metavar="A,B", help="Models [all].")]
Seeds = Annotated[
    str, typer.Option(metavar="0,1", help="Seeds [0,1,2; with --quick 0].")
]
Variants = Annotated[str, typer.Option(metavar="A,B", help="Variants [all].")]
Data = Annotated[
    Path,
    typer.Option(metavar="DIR", help="Folder with the folders music and phonemes."),
]
Sets = Annotated[str, typer.Option(metavar="A,B", help="Sets [those in the folder].")]
Music = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the .mat files.")]
Processes = Annotated[
    int, typer.Option(min=1, help="Trainings side by side, each on one thread.")
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Let torch compile the slow models: for long trainings; needs g++.",
    ),
]
Speech = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder of TIMIT, or of a sample.")
]
RESULTS, DATA = Path("results"), Path("../shared/data")


@paper.command()
def signals(
    out: Out = RESULTS,
    quick: Quick = False,
    models: Models = "",
    variants: Variants = "",
    seeds: Seeds = "",
    processes: Processes = 1,
    compile_ticks: Compile = False,
    as_json: AsJson = False,
) -> None:
    """Tell squares from sawtooths, as figure 2 of the slides, and under noise."""
    from sfm_stream.paper.tasks import signals as task

    with _ordered(
        out, models, seeds or _seeds(quick), processes, compile_ticks
    ) as order:
        size = task.QUICK if quick else task.FULL
        found = task.carry_out(size, order, listed(variants))
    _say(found, as_json=as_json)


@paper.command()
def music(
    out: Out = RESULTS,
    quick: Quick = False,
    sets: Sets = "",
    models: Models = "",
    seeds: Seeds = "",
    data: Music = Path("../shared/data/music"),
    processes: Processes = 1,
    compile_ticks: Compile = False,
    as_json: AsJson = False,
) -> None:
    """Predict which keys sound next, as the second table of the slides."""
    from sfm_stream.paper.tasks import music as task

    size = task.QUICK if quick else task.FULL
    with _ordered(
        out, models, seeds or _seeds(quick), processes, compile_ticks
    ) as order:
        found = task.carry_out(listed(sets), data, size, order)
    _say(found, as_json=as_json)


@paper.command()
def search(
    out: Out = RESULTS,
    quick: Quick = False,
    sets: Sets = "",
    models: Models = "",
    seeds: Seeds = "0",
    data: Music = Path("../shared/data/music"),
    processes: Processes = 1,
    compile_ticks: Compile = False,
    as_json: AsJson = False,
) -> None:
    """Search rates and dropouts for the music, the same grid for every model."""
    from sfm_stream.paper.tasks import search as task

    with _ordered(out, models, seeds, processes, compile_ticks) as order:
        size = task.QUICK if quick else task.FULL
        found = task.carry_out(listed(sets), data, size, order)
    _say(found, as_json=as_json)


@paper.command()
def phonemes(
    out: Out = RESULTS,
    quick: Quick = False,
    models: Models = "",
    seeds: Seeds = "",
    data: Speech = Path("../shared/data/phonemes"),
    processes: Processes = 1,
    compile_ticks: Compile = False,
    as_json: AsJson = False,
) -> None:
    """Tell which phone is spoken, frame by frame, as figure 4 of the slides."""
    from sfm_stream.paper.tasks import phonemes as task

    size = task.QUICK if quick else task.FULL
    with _ordered(
        out, models, seeds or _seeds(quick), processes, compile_ticks
    ) as order:
        found = task.carry_out(data, size, order)
    _say(found, as_json=as_json)


@paper.command()
def speakers(
    out: Out = RESULTS,
    quick: Quick = False,
    models: Models = "",
    seeds: Seeds = "",
    data: Speech = Path("../shared/data/phonemes"),
    processes: Processes = 1,
    compile_ticks: Compile = False,
    as_json: AsJson = False,
) -> None:
    """Leave out each speaker once in the phoneme task, and compare the models."""
    from sfm_stream.paper.tasks import phonemes as size
    from sfm_stream.paper.tasks import speakers as task

    with _ordered(
        out, models, seeds or _seeds(quick), processes, compile_ticks
    ) as order:
        found = task.carry_out(data, size.QUICK if quick else size.FULL, order)
    _say(found, as_json=as_json)


@paper.command()
def spectra(
    out: Out = RESULTS,
    quick: Quick = False,
    task: Annotated[
        str, typer.Option(metavar="NAME", help="Task of the training.")
    ] = "signals",
    data: Data = DATA,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Look inside SFM and A-SFM: figure 5 of the slides, windows, frequencies."""
    from sfm_stream.paper.analyses import spectra
    from sfm_stream.paper.tasks import registry

    chosen = registry.find(task)
    with _ordered(out, "", str(seed)) as order:
        found = spectra.carry_out(chosen.maker(data, quick)(), order)
    _say(found, as_json=as_json)


@paper.command()
def ablations(
    out: Out = RESULTS,
    quick: Quick = False,
    chosen: Annotated[
        str,
        typer.Option(
            "--tasks",
            metavar="A,B",
            help="Tasks [signals; jsb and phonemes if their data is there].",
        ),
    ] = "",
    data: Data = DATA,
    variants: Variants = "",
    seeds: Seeds = "",
    processes: Processes = 1,
    as_json: AsJson = False,
) -> None:
    """Change one thing of SFM: on the tasks, and on two streams forecast online."""
    from connectors import open_feed
    from sfm_stream.config import Config
    from sfm_stream.paper.analyses import ablations as study
    from sfm_stream.paper.tasks import registry
    from sfm_stream.running import precompile

    precompile.prepare(Config(), ["value"], say)
    names = listed(chosen) or registry.present(registry.THREE, data)
    say(f"on {', '.join(names)} and {', '.join(study.STREAMS)}")
    sized = {
        name: (task, task.maker(data, quick))
        for name, task in ((name, registry.find(name)) for name in names)
    }
    with _ordered(out, variants, seeds or _seeds(quick), processes) as order:
        found = study.carry_out(sized, open_feed, order)
    _say(found, as_json=as_json)


@paper.command("all")
def everything(
    out: Out = RESULTS,
    quick: Quick = False,
    seeds: Seeds = "",
    data: Data = DATA,
    processes: Processes = 2,
) -> None:
    """Make every table and figure, and one page with the claims and their checks."""
    from connectors import open_feed
    from sfm_stream.config import Config
    from sfm_stream.paper.analyses import whole
    from sfm_stream.running import precompile

    precompile.prepare(Config(), ["value"], say)
    with _ordered(out, "", seeds or _seeds(quick), processes) as order:
        path = whole.carry_out(whole.Wanted(data, quick, order), open_feed)
    typer.echo(path)


@contextmanager
def _ordered(
    out: Path,
    models: str,
    seeds: str,
    processes: int = 1,
    compile_ticks: bool = False,
) -> Iterator[Order]:
    """Give the order for experiments: folder, models, seeds, device, progress bar."""
    import torch

    from sfm_stream.paper.output import figures, progress
    from sfm_stream.paper.training.compiled import expect_compiler
    from sfm_stream.paper.training.trials import Order

    figures.expect()
    torch.set_num_threads(1)  # matrices are so small that a second thread costs time
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if compile_ticks:
        expect_compiler(device)
    with progress.show() as watch:
        yield Order(
            out,
            listed(models),
            _numbers(seeds),
            device,
            watch,
            processes,
            compile_ticks,
        )


def _seeds(quick: bool) -> str:
    """Give the default seeds of a run."""
    return "0" if quick else "0,1,2"


def _numbers(seeds: str) -> list[int]:
    """Parse a list of seeds."""
    try:
        numbers = [int(seed) for seed in listed(seeds)]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0:
        problem = f"expected numbers from 0 with commas between, was {seeds!r}"
        raise ConfigError("--seeds", problem)
    return numbers


def _say(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the table for people, and with `as_json` the figures for programs."""
    typer.echo(found["text"], err=True)
    if as_json:
        print_json(found)
