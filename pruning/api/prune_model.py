"""pruning.prune: prune, fine-tune and measure a model, in one call."""

import time
import warnings
from collections.abc import Collection
from dataclasses import replace

import torch
from torch import nn

from pruning.api.choices import recipe_of
from pruning.api.inputs import Data, workload_of
from pruning.api.progress import Report, last_value, progress_bar
from pruning.api.result import PruningResult
from pruning.api.teacher import Teacher, with_teacher
from pruning.criteria import Criterion
from pruning.events import Event, Searching, StageMeasured, TuningStep, Warned
from pruning.granularities import Granularity
from pruning.model.devices import default_device
from pruning.recipe.recipe import Recipe
from pruning.repair import Repair
from pruning.reporting.run_progress import progress as run_progress
from pruning.run.experiment import prune_within_memory
from pruning.run.interruption import stop_on_interrupt
from pruning.selection.amounts import Amount
from pruning.selection.scopes import Scope
from pruning.training.distillation import Distillation
from pruning.training.regularisers import Regulariser
from pruning.training.rewinds import Rewind
from pruning.training.schedules import Schedule
from pruning.training.starts import Start
from pruning.training.tuning import Tuning
from pruning.workload import Task, Workload

REDRAW_S = 0.2


def prune(
    model: nn.Module | Workload,
    *,
    train: Data | None = None,
    validation: Data | None = None,
    test: Data | None = None,
    sparsity: float | None = None,
    criterion: str | Criterion | None = None,
    granularity: str | Granularity | None = None,
    scope: str | Scope | None = None,
    amount: Amount | None = None,
    schedule: str | Schedule | None = None,
    epochs: int | None = None,
    tuning: Tuning | None = None,
    keep_whole: Collection[str] | None = None,
    seed: int | None = None,
    recipe: Recipe | None = None,
    task: Task | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
    repair: str | Repair | None = None,
    distillation: str | Distillation | None = None,
    start: str | Start | None = None,
    rewind: str | Rewind | None = None,
    regulariser: str | Regulariser | None = None,
    teacher: Teacher | None = None,
) -> PruningResult:
    """Prune a trained model, fine-tune it, and measure it before, between and after.

    The given model stays as it is. A string names a choice with its default fields, and an object gives the fields:
    `criterion="taylor"` or `criterion=Taylor(order=2)`. A `recipe` says all choices at once. What is left out is as in
    `Recipe`: half of the weights, the smallest first, in one round, then two epochs of fine-tuning.

    An interrupt (Ctrl-C, or the stop button of a notebook) ends the run after the current batch: what there is by then
    is measured and returned. A second one raises KeyboardInterrupt.

    Args:
        model: A trained module, or a Workload, which has its own data and task.
        train: Samples to fine-tune on: a tuple (inputs [n, ...], targets [n]) of tensors, a Dataset or a DataLoader of
            such pairs (its samples are taken, not its order or batch size), or a Split.
        validation: Samples that curves and decisions look at. If it is left out, a tenth of `train` is set aside.
        test: Samples that the model was not trained on; only the stages of the result are scored on them.
        sparsity: Share of units that is pruned, in [0, 1]; short for `amount=Sparsity(sparsity)`.
        criterion: What says how important a unit is.
        granularity: What is pruned together: "weights", "channels", "heads", ...
        scope: Which units compete: "global", "layer", "row", "blocks".
        amount: How much is pruned, where it is no sparsity: a Budget, a Threshold, PerLayer shares, ... With Automatic
            a search finds it first; `amount_found` of the result says what.
        schedule: In how many rounds: "one_shot", "polynomial", ...
        epochs: Passes over `train` after each round; short for `tuning=Tuning(epochs=epochs)`.
        tuning: How the model is fine-tuned.
        keep_whole: Names of layers that lose nothing.
        seed: Decides every random choice.
        recipe: All of the choices above.
        task: Loss and score of the model. If it is left out, the model classifies: cross entropy and accuracy.
        device: Where to compute; the accelerator if there is one.
        progress: Whether a progress bar is shown, if tqdm is installed.
        repair: How the model is put right after each cut, without labels: "least_squares", "batchnorm", "block", ...
        distillation: What the model learns from a teacher while it is tuned: "logits", "outputs", "features". The
            teacher is the given model, if `teacher` says no other.
        start: "trained", or "scratch": the weights are drawn anew and trained before the first cut.
        rewind: With which values the weights go on that a cut leaves: "weights" (lottery tickets), "draw_anew".
        regulariser: What pushes units to zero while the model is trained: "l1", "group_lasso", "movement", ...
        teacher: Who teaches, with distillation "logits" or "outputs": a trained module that reads the same inputs, a
            file with weights of the model's own architecture (a state dict, .safetensors or .pt; no code in it is
            run), or the name of one of the workload's teachers. The recipe then names it: a file by its name without
            the ending.

    Returns:
        The pruned model in eval mode with its stages; it draws itself in a notebook, and `save` writes verified files.

    Raises:
        RecipeError: A choice does not exist or does not fit the others; the sentence says what to choose.
        WorkloadError: The model or the data cannot be used; the sentence says what to give.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> x, y = torch.randn(200, 6), torch.arange(200) % 3
        >>> net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> result = prune(net, train=(x, y), validation=(x, y), test=(x, y), sparsity=0.5, granularity="channels",
        ...                epochs=1, progress=False)
        >>> result.model
        Sequential(
          (0): Linear(in_features=6, out_features=4, bias=True)
          (1): ReLU()
          (2): Linear(in_features=4, out_features=3, bias=True)
        )
        >>> result.table()["parameters"].to_dict()
        {'dense': 83, 'pruned': 43, 'tuned': 43}

    Source:
        Rounds of pruning and fine-tuning: Han et al. 2015, arXiv 1506.02626. Each criterion names its own.
    """
    begun = time.monotonic()
    workload = workload_of(model, train, validation, test, task, recipe.seed if recipe else seed or 0)
    asked = recipe_of(
        workload.name,
        recipe=recipe,
        sparsity=sparsity,
        amount=amount,
        criterion=criterion,
        granularity=granularity,
        scope=scope,
        schedule=schedule,
        epochs=epochs,
        tuning=tuning,
        keep_whole=keep_whole,
        seed=seed,
        repair=repair,
        distillation=distillation,
        start=start,
        rewind=rewind,
        regulariser=regulariser,
    )
    # what is written down is what was done: another workload makes another recipe, with another name
    asked = replace(asked, workload=workload.name)
    if teacher is not None:
        workload, asked = with_teacher(workload, asked, teacher)
    place = default_device() if device is None else torch.device(device)
    with progress_bar(progress) as report:
        log = _EventLog(report, begun)
        with (
            torch.random.fork_rng(devices=[] if place.type == "cpu" else None),
            stop_on_interrupt(lambda: report(None, "stopping: measuring what there is")) as stop,
        ):
            torch.manual_seed(asked.seed)  # a network's own dropout draws from the global generator
            done, pruned = last_value(prune_within_memory(workload, asked, place, stop), log.add)
    result = PruningResult(
        pruned.model,
        done,
        pruned.keep,
        pruned.stages,
        tuple(log.events),
        pruned.stopped,
        time.monotonic() - begun,
        pruned.sizes,
        workload,
        place,
    )
    for sentence in result.notes:
        warnings.warn(sentence, stacklevel=2)
    return result


class _EventLog:
    """The events so far, and the progress bar that shows how far they have come."""

    def __init__(self, report: Report, begun: float) -> None:
        self.events: list[Event] = []
        self._report = report
        self._begun = self._drawn = begun

    def add(self, event: Event) -> None:
        self.events.append(event)
        now = time.monotonic()
        # a bar is redrawn often enough for an eye: what it shows is counted from all events anew
        if isinstance(event, TuningStep | Searching) and now - self._drawn < REDRAW_S:
            return
        self._drawn = now
        if isinstance(event, StageMeasured) and event.stage == "tuned":
            self._report(1.0, "finished")
            return
        at = run_progress(self.events, now - self._begun)
        sentence = f": {event.sentence}" if isinstance(event, Warned) else ""
        self._report(at.fraction, at.phase + sentence)
