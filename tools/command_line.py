"""The command line of `wrist`: every command with its arguments and options.

Each command imports its work inside its body, so that `--help` answers at once, and then calls `begin_working`.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from stages.common.core.arithmetic import pin_instructions
from stages.common.core.signals import begin_working
from stages.common.data.layout import AUDIT_PAGE, PARAMS
from tools.predict import FORMATS

LINE = 61  # characters of a command's sentence, beside its words on a terminal of 80 columns


class Commands(TyperGroup):
    """The commands of `wrist`, those of its groups among them, a line each."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # of the parser that typer brings, which is private
        rows = [(" ".join(names), command.get_short_help_str(LINE)) for names, command in leaves(self)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def leaves(group: TyperGroup, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of a group and of the groups in it, with its words."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from leaves(command, *above, name)
        else:
            yield (*above, name), command


app = typer.Typer(
    name="wrist",
    cls=Commands,
    help="Tools on top of the wrist-fracture pipeline. Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
sweep = typer.Typer(
    help="Try many weightings, each as a DVC experiment. Rerun a command to resume it.", no_args_is_help=True
)
audit = typer.Typer(
    help="Trace a number to its source files, and verify that what is here is what was run.", no_args_is_help=True
)
fetch = typer.Typer(help="Bring public data sets and weights here, pinned by hash.", no_args_is_help=True)
for name, group in (("sweep", sweep), ("audit", audit), ("fetch", fetch)):
    app.add_typer(group, name=name, rich_help_panel=None)


def a_path(value: str | Path) -> Path:
    """A path that is not blank, as an unset variable of a shell is: the current folder would be written into.

    Raises:
        BadParameter: it is.
    """
    if not str(value):
        raise typer.BadParameter("expected a path, found a blank one")
    return Path(value)


def plain_name(name: str) -> str:
    """A sweep's name, which becomes part of names of experiments and files."""
    if not name or not all(letter.isalnum() or letter in "-_" for letter in name):
        raise typer.BadParameter(f"expected letters, digits, - and _, found {name!r}")
    return name


def count_of_jobs(value: str | int) -> int | None:
    """A number of experiments, as typed or the default; None where the machine decides."""
    if value == "auto":
        return None
    if not str(value).isdecimal() or int(value) < 1:
        raise typer.BadParameter(f"expected a whole number from 1 on or auto, found {value!r}")
    return int(value)


Form = Literal["text", "json"]
SweepName = Annotated[
    str,
    typer.Argument(callback=plain_name, help="Name of the sweep; its experiments are NAME-number or NAME-arm."),
]
Jobs = Annotated[
    int | None,
    typer.Option(parser=count_of_jobs, metavar="N|auto", help="Experiments at a time; auto: as many as fit here."),
]
Task = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Run the N-th experiment only, from 0, in a clone, and push it (SLURM)."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what it would cost, and stop.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("-S", "--set-param", metavar="OVERRIDE", help="KEY=VALUE and more, as for dvc exp run; repeatable."),
]


@app.command()
def predict(
    films: Annotated[
        list[str], typer.Argument(help="Files, folders, patterns: PNG, JPEG, TIFF, WebP, BMP or DICOM (CR, DX, CT).")
    ],
    model: Annotated[
        str, typer.Option(help="adaptive, baseline, a run below models/, or an exported folder.")
    ] = "adaptive",
    output: Annotated[Path, typer.Option(parser=a_path, metavar="PATH", help="Folder to write to.")] = Path(
        "predictions"
    ),
    format_: Annotated[
        str, typer.Option("--format", help=f"Some of {','.join(FORMATS)}; the last three for annotation tools.")
    ] = "png,json,dicom-seg",
    average: Annotated[
        bool, typer.Option("--average", help="Average over all seeds and folds; each costs a pass.")
    ] = False,
    tta: Annotated[
        bool, typer.Option("--tta", help="Average over the film and its mirror image; costs 2 passes.")
    ] = False,
    label_next: Annotated[
        Literal["uncertainty", "disagreement"],
        typer.Option(help="Rank films for labelling in summary.csv; disagreement needs --average."),
    ] = "uncertainty",
    device: Annotated[Literal["auto", "cpu"], typer.Option(help="auto: a GPU where there is one.")] = "auto",
) -> None:
    """Segment new films. Research software, not a medical device.

    Each film gets a folder with probability.png, mask.png, overlay.jpg, film.jpg, prediction.json and, for DICOM,
    segmentation.dcm, in the pixels of its file, layers.js, in those of the network's square, and levels.js, with more
    grey levels than film.jpg. A finished film is skipped until it, the model or an option changes. Exit code 1: a film
    could not be read.
    """
    formats = sorted(set(format_.split(",")))
    if not set(formats) <= set(FORMATS):
        raise typer.BadParameter(f"expected some of {','.join(FORMATS)}, found {format_}", param_hint="--format")
    pin_instructions(torch=True)
    from tools.predict.batch import predict_films

    begin_working()
    failed = predict_films(films, model, output, formats, average, tta, label_next, device)
    raise typer.Exit(1 if failed else 0)


@app.command()
def export(
    model: Annotated[str, typer.Option(help="adaptive, baseline, or a run below models/.")] = "adaptive",
    output: Annotated[Path, typer.Option(parser=a_path, metavar="PATH", help="Folder to write to.")] = Path("exported"),
) -> None:
    """Write a model as ONNX. `wrist predict --model exported` then needs no torch."""
    pin_instructions(torch=True)
    from tools.predict.export import export_model

    begin_working()
    export_model(model, output)


@app.command()
def recipe(
    name: Annotated[str, typer.Argument(help="paper, strong or fast; none: say which one params.yaml has.")] = "",
) -> None:
    """Write a recipe into params.yaml. It says what changes in how films are prepared and networks trained."""
    from tools.recipe import choose_recipe, present_recipe

    begin_working()
    lines = choose_recipe(name) if name else []
    print("\n".join([*lines, f"recipe: {present_recipe()}"]))


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Close MLflow runs whose process is gone.")] = False,
) -> None:
    """Check what this machine will do with the pipeline.

    Exit code 1: something will fail. A warning costs speed or comfort only. Secrets are looked for and never shown.
    """
    from tools.doctor.checks import check_environment

    begin_working()
    raise typer.Exit(1 if check_environment(fix) else 0)


@app.command()
def repro(
    jobs: Annotated[
        int | None,
        typer.Option(parser=count_of_jobs, metavar="N|auto", help="Trainings at a time; auto: as many as fit here."),
    ],
) -> None:
    """Do what `dvc repro` does, with trainings side by side."""
    from tools.sweep.matrix import reproduce

    begin_working()
    raise typer.Exit(reproduce(jobs))


@app.command()
def worker(
    scheduler: Annotated[str, typer.Argument(help="Address of the Dask scheduler, such as tcp://node:8786.")],
    count: Annotated[int, typer.Option("--workers", min=1, help="Processes, of one thread each.")] = 1,
) -> None:
    """Start workers of a Dask cluster. They compute with the same instructions on every machine."""
    pin_instructions(torch=True)
    begin_working()
    program = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler]
    os.execv(sys.executable, [*program, "--nworkers", str(count), "--nthreads", "1"])


@app.command()
def report(
    lineage: Annotated[
        bool, typer.Option("--lineage", help="Also do what `wrist audit page` and `wrist audit compare` do.")
    ] = False,
) -> None:
    """Print the comparison of the last run. It says where its page lies."""
    from tools.present import print_report, print_report_with_lineage

    begin_working()
    (print_report_with_lineage if lineage else print_report)()


@app.command()
def fracatlas(
    films: Annotated[
        Path | None,
        typer.Option(help="A folder with the 171 films and FracAtlas's COCO file, in place of the archive."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="paper, strong or fast.")] = "strong",
) -> None:
    """Train and test on the 171 fractured wrists of FracAtlas.

    It fetches them, says how long the trainings will take, and prints the comparison. It writes the recipe,
    ingest.sources and annotate.split into params.yaml. Rerun it to resume.
    """
    from stages.recipes import RECIPES

    precision = RECIPES.get(recipe, {}).get("train.loop.precision", "portable")
    pin_instructions(torch=precision == "portable")  # steps of a training are timed
    from tools.audit.actions import write_page
    from tools.fetch.fracatlas import compare_on_fracatlas
    from tools.present import print_report

    begin_working()
    if code := compare_on_fracatlas(films, recipe):
        raise typer.Exit(code)
    write_page(AUDIT_PAGE)
    print_report()


@app.command("send-run")
def send_run(run_id: Annotated[str, typer.Argument(help="Id of a run in the local store mlflow.db.")]) -> None:
    """Copy a run to a server. The run was kept locally; MLFLOW_TRACKING_URI names the server."""
    from stages.common.model.tracking import chosen_uri, shown
    from tools.mlflow_store.send import send

    begin_working()
    print(f"run {send(run_id)} of {shown(chosen_uri())} holds it")


@app.command()
def register(
    model: Annotated[Path, typer.Argument(help="A run below models/, such as models/adaptive/seed-1-fold-1.")],
    alias: Annotated[str, typer.Option(help="Name by which it is loaded; its former holder loses it.")] = "champion",
) -> None:
    """Put a trained model into MLflow's registry. Servers load it from there."""
    from stages.common.core.files import need
    from stages.common.core.hashing import sha256
    from stages.common.data.layout import WEIGHTS
    from tools.mlflow_store.register import register as register_weights

    begin_working()
    print(f"registered as {register_weights(sha256(need(model / WEIGHTS)), str(model), alias)}")


@fetch.command()
def kaggle() -> None:
    """Fetch the Kaggle data sets of params.yaml. Every file is pinned by SHA-256 in data/pins."""
    from stages import read_params
    from stages.ingest.params import Params
    from tools.fetch.data_sets import fetch_kaggle

    begin_working()
    files = fetch_kaggle(Params.model_validate(read_params(PARAMS)["ingest"]))
    print(f"{files} files fetched and pinned; commit data/pins, then run `dvc repro`")


@fetch.command()
def url() -> None:
    """Fetch data sets that need no account. Every file is pinned by size and SHA-256 in data/pins."""
    from stages import read_params
    from stages.ingest.params import Params
    from tools.fetch.data_sets import fetch_urls

    begin_working()
    files = fetch_urls(Params.model_validate(read_params(PARAMS)["ingest"]))
    print(f"{files} files fetched and pinned; commit data/pins, then run `dvc repro`")


@fetch.command()
def weights(
    licence: Annotated[str, typer.Option(help="Of the weights, where their publisher's client does not say it.")] = "",
) -> None:
    """Fetch the weights that the encoder starts from. They are pinned by SHA-256 in data/pins."""
    pin_instructions(torch=True)
    from stages import read_params
    from stages.common.model.architecture import read_network
    from tools.fetch.weights import fetch_weights

    begin_working()
    print(fetch_weights(read_network(read_params(PARAMS)["train"]["network"]), licence))


@sweep.command()
def search(
    name: SweepName,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all.")] = 20,
    jobs: Jobs = 1,
    range_: Annotated[
        list[str] | None, typer.Option("--range", metavar="KEY=LOW..HIGH[:log]", help="A param to search; repeatable.")
    ] = None,
    set_param: Overrides = None,
) -> None:
    """Let Optuna choose weightings. Validation films judge and the test films stay unseen.

    Without --range it searches the share of Dice in the loss at the start and the end of the linear schedule.
    """
    from tools.sweep.runner import run_search

    begin_working()
    raise typer.Exit(run_search(name, set_param or [], range_ or [], trials, jobs))


@sweep.command()
def arms(
    name: SweepName,
    seeds: Annotated[str, typer.Option(help="Seeds of each arm, separated by commas.")] = "1,2,3,4,5",
    jobs: Jobs = 1,
    task: Task = None,
    dry_run: DryRun = False,
    set_param: Overrides = None,
) -> None:
    """Train and test the paper's schedule and what it must beat. All start from the same seeds."""
    if not all(word.isdecimal() for word in seeds.split(",")):
        raise typer.BadParameter(f"expected whole numbers separated by commas, found {seeds!r}", param_hint="--seeds")
    numbers = [int(word) for word in seeds.split(",")]
    if len(set(numbers)) < len(numbers):
        raise typer.BadParameter(f"expected each seed once, found {seeds!r}", param_hint="--seeds")
    pin_instructions(torch=True)  # steps of a training are timed
    from tools.sweep.execution import Where
    from tools.sweep.runner import run_arms

    begin_working()
    raise typer.Exit(run_arms(name, set_param or [], numbers, Where(jobs, task), dry_run))


@sweep.command()
def grid(
    name: SweepName,
    set_param: Annotated[
        list[str],
        typer.Option("-S", "--set-param", metavar="OVERRIDE", help="KEY=VALUE,VALUE and more; repeatable."),
    ],
    jobs: Jobs = 1,
    task: Task = None,
    dry_run: DryRun = False,
) -> None:
    """Train and test all combinations of some params."""
    pin_instructions(torch=True)  # steps of a training are timed
    from tools.sweep.execution import Where
    from tools.sweep.runner import run_grid

    begin_working()
    raise typer.Exit(run_grid(name, set_param, Where(jobs, task), dry_run))


@sweep.command()
def requeue() -> None:
    """Queue again what failed, or lost its worker, in DVC's queue."""
    from tools.sweep.queue import requeue_lost

    begin_working()
    print(requeue_lost())


@sweep.command("report")
def sweep_report(name: SweepName) -> None:
    """Write reports/sweep.html of all experiments of a sweep. Those of DVC's queue named NAME-number count, too."""
    from tools.sweep.experiments import trained_params
    from tools.sweep.overrides import overridden
    from tools.sweep.runner import write_page

    begin_working()
    train, _ = trained_params(overridden([]))
    raise typer.Exit(write_page(name, train.adaptive))


@sweep.command("register")
def sweep_register(
    name: SweepName,
    alias: Annotated[str, typer.Option(help="Name by which it is loaded; its former holder loses it.")] = "champion",
) -> None:
    """Put a sweep's best network into MLflow's registry. The validation Dice decides; servers load it from there."""
    from tools.mlflow_store.register import register as register_weights
    from tools.sweep.experiments import best_weights

    begin_working()
    digest, made_by = best_weights(name)
    print(f"registered {made_by} as {register_weights(digest, made_by, alias)}")


@audit.command()
def trace(
    what: Annotated[
        str,
        typer.Argument(
            help="A cell of the report (adaptive/f1), an image id, a model (adaptive-1-1), a path that DVC tracks, a "
            "source file by name or SHA-256, a patient's pseudonym."
        ),
    ],
    format_: Annotated[Literal["text", "json", "dot"], typer.Option("--format", help="Form of the output.")] = "text",
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="A film or patient in all commits and experiments, too.")
    ] = False,
) -> None:
    """Print what a thing was made from, and what was made of it."""
    if everywhere and format_ != "text":
        raise typer.BadParameter("it has no other form than text", param_hint="--everywhere")
    from tools.audit.actions import trace_thing

    begin_working()
    raise typer.Exit(trace_thing(what, format_, everywhere))


@audit.command("original")
def original_file(
    number: Annotated[int, typer.Argument(min=1, help="12 of `file 12 of the export`.")],
    source: Annotated[
        str, typer.Option(help="The export, by its name in data/raw/files.csv, where there are several.")
    ] = "",
) -> None:
    """Print the path of a file of a hospital's export."""
    from tools.audit.actions import print_original

    begin_working()
    raise typer.Exit(print_original(number, source))


@audit.command()
def verify(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also compute again what follows from pictures and tables.")
    ] = False,
    rerun: Annotated[
        str | None,
        typer.Option(metavar="STAGES", help="Run these, so many at random, or `all` again and compare bytes."),
    ] = None,
    commit: Annotated[
        str | None, typer.Option(metavar="REV", help="Check by the code and records of this commit, in a clean clone.")
    ] = None,
    format_: Annotated[Form, typer.Option("--format", help="Form of the output.")] = "text",
    signed: Annotated[
        Path | None, typer.Option(metavar="EVIDENCE", help="Hold all files to a signed document.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Public key (PEM) for --signed.")] = None,
) -> None:
    """Check whether what is here is what was run.

    Exit code 1 where it is not, 3 where something stays unchecked.
    """
    if (signed is None) != (key is None):
        raise typer.BadParameter("--signed and --key belong together", param_hint="--signed")
    for option, value in (("--commit", commit), ("--rerun", rerun)):
        if value == "":  # it would be a weaker check than the one that was asked for
            raise typer.BadParameter("expected a word, found none, as of a variable that is not set", param_hint=option)
    from tools.audit.actions import verify_project, verify_revision

    begin_working()
    if commit:
        raise typer.Exit(verify_revision(commit, deep, rerun or "", format_, signed, key))
    raise typer.Exit(verify_project(deep, rerun or "", format_, signed, key))


@audit.command()
def compare(
    revision: Annotated[str, typer.Argument(help="A commit, a branch or a tag.")] = "HEAD",
) -> None:
    """Say whether outputs have the bytes of a commit.

    Where they have not, it names the first stage that differs and why; exit code 1.
    """
    from tools.audit.actions import compare_outputs

    begin_working()
    raise typer.Exit(compare_outputs(revision))


@audit.command()
def sign(
    key: Annotated[Path, typer.Option(help="Private Ed25519 key (PEM), kept outside of the project.")],
    output: Annotated[Path, typer.Option(parser=a_path, metavar="PATH", help="The document to write.")] = Path(
        "evidence.json"
    ),
) -> None:
    """Write and sign the hashes of all outputs."""
    from tools.audit.actions import sign_project

    begin_working()
    raise typer.Exit(sign_project(key, output))


@audit.command("export")
def export_audit() -> None:
    """Write the lineage in four standard formats at the root.

    They are RO-Crate, PROV, Croissant and CycloneDX.
    """
    from tools.audit.actions import export_lineage

    begin_working()
    raise typer.Exit(export_lineage())


@audit.command()
def page(
    output: Annotated[Path, typer.Option(parser=a_path, metavar="PATH", help="The page to write.")] = AUDIT_PAGE,
) -> None:
    """Write a page that leads from numbers to pixels by clicks."""
    from tools.audit.actions import write_page

    begin_working()
    raise typer.Exit(write_page(output))


@audit.command()
def withdraw(
    patient: Annotated[str, typer.Argument(help="A pseudonym, an image id, or the name or SHA-256 of a source file.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would go, and stop.")] = False,
) -> None:
    """Remove what a patient left here, in DVC's cache and remotes."""
    from tools.audit.actions import withdraw_patient

    begin_working()
    raise typer.Exit(withdraw_patient(patient, dry_run))
