"""What the commands take. What carries them out is imported when asked for: torch takes seconds, `--help` shall not."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pruning.cli.console import device_of, sentences
from pruning.cli.page_address import PageAddress

if TYPE_CHECKING:
    from pruning.cli.catalogue import Catalogue

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A sample model, or FILE.py:NAME for your own.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; the accelerator if there is one.")]


def make_app(
    catalogue: "Callable[[], Catalogue]", start_page: Callable[[PageAddress, bool, bool], None]
) -> typer.Typer:
    """The commands, over the models that `catalogue` knows; `start_page` takes an address, headless and window."""
    app = typer.Typer(
        help="See a trained network, prune it, fine-tune it, take it home.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.command("app")
    def page(
        port: Annotated[int, typer.Option(min=1, max=65535, help="The port that the server listens on.")] = 8501,
        headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
        window: Annotated[
            bool, typer.Option("--window", help="Open a window of its own, by pywebview, instead of the browser.")
        ] = False,
        host: Annotated[
            str,
            typer.Option(
                metavar="ADDRESS",
                help="The address to listen on; 0.0.0.0 for all. Others than 127.0.0.1 need PRUNING_PASSWORD.",
            ),
        ] = "127.0.0.1",
        certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="A TLS certificate, in PEM.")] = None,
        key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key, in PEM.")] = None,
    ) -> None:
        """Start the page: a server on this machine, until Ctrl-C or until its window is closed."""
        with sentences():
            start_page(PageAddress(port, host, certificate, key), headless, window)

    @app.command()
    def backup(
        target: Annotated[Path, typer.Argument(metavar="TARGET", help="A new folder, or a file that ends in .tar.")],
    ) -> None:
        """Back up all runs with their files, while the server goes on. PRUNING_HOME says what."""
        with sentences():
            from pruning.cli.backups import backup

            backup(target)

    @app.command()
    def restore(
        source: Annotated[Path, typer.Argument(metavar="SOURCE", help="What `backup` has written.")],
        force: Annotated[bool, typer.Option("--force", help="Move aside what is in PRUNING_HOME.")] = False,
    ) -> None:
        """Bring a backup back to PRUNING_HOME, which must be empty. Stop the server first."""
        with sentences():
            from pruning.cli.backups import restore

            restore(source, force)

    @app.command()
    def clean(
        older_than: Annotated[float, typer.Option(min=0.0, metavar="DAYS", help="Runs over for longer go.")] = 30.0,
        keep_pinned: Annotated[
            bool, typer.Option("--keep-pinned/--pinned-too", help="Whether pinned runs stay, however old.")
        ] = True,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    ) -> None:
        """Delete old runs that nobody pinned, unfinished files and old logs in PRUNING_HOME."""
        with sentences():
            from pruning.cli.cleaning import clean

            clean(older_than, keep_pinned, dry_run)

    @app.command()
    def models(as_json: Json = False) -> None:
        """List the sample models: data, parameters, MACs, accuracy."""
        with sentences():
            from pruning.cli.models import models

            models(catalogue(), as_json)

    @app.command()
    def inspect(model: Model, as_json: Json = False) -> None:
        """Show the layer table, and why a layer cannot be pruned."""
        with sentences():
            from pruning.cli.inspection import inspect

            inspect(catalogue().open(model), as_json)

    @app.command()
    def choices(
        as_json: Json = False,
        markdown: Annotated[bool, typer.Option("--markdown", help="Print a page of documentation.")] = False,
    ) -> None:
        """List every criterion, granularity, scope, amount and schedule, with what it takes."""
        with sentences():
            from pruning.cli.choices import choices

            choices(as_json, markdown)

    @app.command()
    def compare(
        recipe: Annotated[Path, typer.Argument(metavar="RECIPE.json", help="Model, granularity, scope and amount.")],
        criteria: Annotated[
            str | None, typer.Option(help="Kinds, separated by commas; all that fit if left out.")
        ] = None,
        workload: Annotated[str | None, typer.Option(help="FILE.py:NAME: your own model and data.")] = None,
        as_json: Json = False,
        device: Device = None,
    ) -> None:
        """Make the recipe's cut by several criteria, without tuning: accuracy, cost of scoring, agreement."""
        with sentences():
            from pruning.cli.comparing import compare

            compare(catalogue(), recipe, criteria, workload, device_of(device), as_json)

    @app.command()
    def recipe(model: Model) -> None:
        """Print a commented recipe to start from: `recipe MODEL > RECIPE.json`."""
        with sentences():
            from pruning.cli.starting import recipe

            recipe(catalogue().open(model))

    @app.command()
    def run(
        recipe: Annotated[Path, typer.Argument(metavar="RECIPE.json", help="As `recipe` prints it.")],
        out: Annotated[Path, typer.Option(help="Folder for the network, the recipe and the report.")],
        workload: Annotated[str | None, typer.Option(help="FILE.py:NAME: your own model and data.")] = None,
        teacher: Annotated[
            str | None,
            typer.Option(
                metavar="FILE",
                help="Weights of the same architecture (.safetensors, .pt) that the distillation learns from.",
            ),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON in the last line.")] = False,
        device: Device = None,
    ) -> None:
        """Carry out a recipe: prune, tune, measure, export, verify. Ctrl-C stops and keeps what there is."""
        with sentences():
            from pruning.cli.running import run

            run(catalogue(), recipe, out, workload, teacher, device_of(device), as_json)

    @app.command()
    def score(
        files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Exported .safetensors or .pt files.")],
        workload: Annotated[str, typer.Option(help="The model that was pruned, or FILE.py:NAME.")],
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line for each file.")] = False,
        device: Device = None,
    ) -> None:
        """Load exported files and score them again."""
        with sentences():
            from pruning.cli.scoring import score

            score(files, catalogue().open(workload), device_of(device), as_json)

    @app.command()
    def sensitivity(
        model: Model,
        out: Annotated[Path, typer.Option(help="Folder for the map (JSON, CSV) and the suggested recipe.")],
        criterion: Annotated[
            str, typer.Option(help="What says which units are pruned first; see `choices`.")
        ] = "magnitude",
        granularity: Annotated[str, typer.Option(help="What lives or dies together; see `choices`.")] = "weights",
        repair: Annotated[
            str, typer.Option(help="How each cut is put right before it is evaluated; see `choices`.")
        ] = "none",
        levels: Annotated[
            str | None, typer.Option(help="Shares that are pruned, such as 0.5,0.9; eleven if left out.")
        ] = None,
        max_drop: Annotated[
            float | None,
            typer.Option(
                help="Points that a layer's suggested cut may cost; of another score than accuracy, in its own unit.",
                show_default="1 point",
            ),
        ] = None,
        exact: Annotated[bool, typer.Option("--exact", help="Evaluate all samples, else to ± 1 point.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the map as JSON in the last line.")] = False,
        device: Device = None,
    ) -> None:
        """Measure what each layer alone can lose, and suggest a cut for each. Ctrl-C stops and keeps what there is."""
        with sentences():
            from pruning.cli.sensitivity import asked, sensitivity

            workload = catalogue().open(model)
            place = device_of(device)
            question = asked(workload, criterion, granularity, repair, levels, max_drop, exact, place)
            sensitivity(workload, question, out.resolve(), place, as_json)

    @app.command()
    def grid(
        recipe: Annotated[Path, typer.Argument(metavar="RECIPE.json", help="The recipe that the others differ from.")],
        criteria: Annotated[str | None, typer.Option(help="Kinds, separated by commas; see `choices`.")] = None,
        granularities: Annotated[str | None, typer.Option(help="Kinds, separated by commas.")] = None,
        repairs: Annotated[str | None, typer.Option(help="Kinds, separated by commas.")] = None,
        amounts: Annotated[str | None, typer.Option(help="Values of amount.share, such as 0.5,0.9.")] = None,
        seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0.")] = 1,
        vary: Annotated[
            list[str] | None,
            typer.Option(
                metavar="PATH=[...]", help="Values of any field, such as tuning.epochs=[1,2]; may be repeated."
            ),
        ] = None,
        controls: Annotated[
            bool, typer.Option("--controls/--no-controls", help="Run the dense and the random control too.")
        ] = True,
    ) -> None:
        """Print a grid for `sweep`: every combination of some fields' values."""
        with sentences():
            from pruning.cli.grids import grid

            kinds = {"criterion": criteria, "granularity": granularities, "repair": repairs}
            grid(recipe, kinds, amounts, seeds, vary or [], controls)

    @app.command()
    def sweep(
        grid: Annotated[Path, typer.Argument(metavar="GRID.json", help="As `grid` prints it.")],
        out: Annotated[Path, typer.Option(help="Folder for the tables and figures.")],
        workload: Annotated[str | None, typer.Option(help="FILE.py:NAME: your own model and data.")] = None,
        queue: Annotated[bool, typer.Option("--queue", help="Leave the runs to the server on PRUNING_HOME.")] = False,
        results: Annotated[
            bool, typer.Option("--results", help="Run nothing: write what the finished runs came to.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON in the last line.")] = False,
    ) -> None:
        """Carry out a grid's runs, those that are missing. Ctrl-C stops; the same command goes on."""
        with sentences():
            from pruning.cli.sweeping import sweep

            sweep(catalogue(), grid, out.resolve(), workload, queue, results, as_json)

    @app.command()
    def halve(
        grid: Annotated[Path, typer.Argument(metavar="GRID.json", help="As `grid` prints it.")],
        out: Annotated[Path, typer.Option(help="Folder for the ranking (JSON) and the best recipe.")],
        minutes: Annotated[float, typer.Option(min=0.1, help="How long it may take.")] = 15.0,
        cost: Annotated[str, typer.Option(help="parameters, bytes or macs.")] = "parameters",
        budget: Annotated[
            float | None, typer.Option(help="How much of the cost may be left: the best score within it wins.")
        ] = None,
        max_drop: Annotated[
            float | None,
            typer.Option(help="Points that may be lost: what saves most wins. Another score counts in its own unit."),
        ] = None,
        rungs: Annotated[int, typer.Option(min=1, max=6, help="Lengths of training, each three times the last.")] = 3,
        workload: Annotated[str | None, typer.Option(help="FILE.py:NAME: your own model and data.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON in the last line.")] = False,
    ) -> None:
        """Find a grid's best setting: all train a little, the best third goes on. The same command goes on."""
        with sentences():
            from pruning.cli.halving import halve

            halve(catalogue(), grid, out.resolve(), workload, minutes, (cost, budget, max_drop), rungs, as_json)

    @app.command()
    def search(
        model: Model,
        out: Annotated[Path, typer.Option(help="Folder for the front (JSON) and the recipe that was found.")],
        cost: Annotated[str, typer.Option(help="parameters, bytes, macs or latency.")] = "macs",
        budget: Annotated[
            float | None,
            typer.Option(
                help="How much of the cost may be left, such as 0.5.", show_default="0.5, where --max-drop is not given"
            ),
        ] = None,
        max_drop: Annotated[
            float | None, typer.Option(help="Points that may be lost; of another score than accuracy, in its own unit.")
        ] = None,
        criterion: Annotated[str, typer.Option(help="What says which units are pruned first.")] = "taylor",
        granularity: Annotated[str, typer.Option(help="What lives or dies together.")] = "channels",
        repair: Annotated[str, typer.Option(help="How each cut is put right without training.")] = "least_squares",
        seconds: Annotated[float, typer.Option(min=1.0, help="About how long it may take.")] = 150.0,
        batch: Annotated[int, typer.Option(min=1, help="Samples in a pass, where the cost is latency.")] = 1,
        latencies: Annotated[
            Path | None, typer.Option(help="Times of the layers, as `latency` writes them; measured here if left out.")
        ] = None,
        seed: Annotated[int, typer.Option(min=0, help="Decides every random choice.")] = 0,
        as_json: Annotated[bool, typer.Option("--json", help="Print the front as JSON in the last line.")] = False,
        device: Device = None,
    ) -> None:
        """Choose how much of each layer goes: the least lost within a budget, or the smallest cost within a loss."""
        with sentences():
            from pruning.cli.searching import asked, recipe_of, search

            workload = catalogue().open(model)
            recipe = recipe_of(workload, criterion, granularity, repair, seed)
            question = asked(workload, recipe, cost, budget, max_drop, seconds, batch, latencies)
            search(workload, question, out.resolve(), device_of(device), as_json)

    @app.command()
    def latency(
        model: Model,
        out: Annotated[Path, typer.Option(help="File for the table (JSON).")],
        granularity: Annotated[str, typer.Option(help="What is removed together.")] = "channels",
        batch: Annotated[int, typer.Option(min=1, help="Samples in a pass.")] = 1,
        device: Device = None,
    ) -> None:
        """Measure how long each layer takes at several widths on this machine: for `search --latencies` on another."""
        with sentences():
            from pruning.cli.searching import latency, recipe_of

            workload = catalogue().open(model)
            recipe = recipe_of(workload, "magnitude", granularity, "none", 0)
            latency(workload, recipe, batch, out.resolve(), device_of(device))

    return app
