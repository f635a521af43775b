"""What a run reports while it goes on: frozen values that become JSON and back.

The page, the CLI and the store read them. msgspec checks what is read: every field by its type, with its path.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from functools import cache
from typing import Any, Literal, get_type_hints

import msgspec

from pruning.errors import JobError, WorkloadError
from pruning.metric import ACCURACY, Metric

StageName = Literal["dense", "pruned", "repaired", "tuned", "exported"]
SplitName = Literal["validation", "test"]


@dataclass(frozen=True)
class Stage:
    """A network at one point of a run. `score` is on the test split, `validation` on the validation split.

    `samples` counts the test samples; `class_scores` are test scores of the classes, in the task's order, or empty,
    and `class_samples` counts the samples of each (empty in stores of earlier versions).
    `latency_ms` is the fastest of 25 forward passes of one sample on one core, 0 where it was not measured.
    """

    score: float
    validation: float
    samples: int
    parameters: int
    nonzero: int
    macs: int
    bytes: int
    gzip_bytes: int
    class_scores: tuple[float, ...] = ()
    # a clock reads otherwise each time: equal networks are equal all the same
    latency_ms: float = field(default=0.0, compare=False)
    class_samples: tuple[int, ...] = ()


@dataclass(frozen=True)
class Searching:
    """The run searches for its amount, before anything else: it has made `cuts` of about `planned`.

    `phase` says what the search is doing; `begins` is true of the first event of a phase.
    """

    phase: str
    cuts: int
    planned: int
    begins: bool


@dataclass(frozen=True)
class AmountFound:
    """The search is over. `shares` are what the run prunes: unit group -> share of its units.

    `left` is the share of the dense network's `cost` that they leave. `drop` is how much worse than dense the
    validation score is then, repaired and not trained, in the unit of the metric; below 0 if it is better. `met` says
    whether both keep to the limits that were asked for. `cuts` is how many were tried.
    """

    cost: str
    left: float
    drop: float
    met: bool
    shares: Mapping[str, float]
    cuts: int
    # a clock reads otherwise each time: equal findings are equal all the same
    seconds: float = field(compare=False)


@dataclass(frozen=True)
class Started:
    """The run began. `rounds` and `steps` (optimiser steps in all) let a reader tell how far it is.

    `metric` says what all scores of the run are. A search for the amount comes before it.
    """

    workload: str
    device: str
    rounds: int
    steps: int
    classes: tuple[str, ...]
    metric: Metric = ACCURACY


@dataclass(frozen=True)
class StageMeasured:
    """A stage's scores and costs, on all samples of both splits."""

    stage: StageName
    result: Stage


@dataclass(frozen=True)
class PrunedValues:
    """Values of the parameters: how many are pruned, how many the units that compete own, and how many there are."""

    pruned: int
    prunable: int
    total: int


@dataclass(frozen=True)
class Masked:
    """A round's units have been pruned: units asked for and pruned so far, and each group's kept share in [0, 1].

    `values` is None in stores of earlier versions. `exchanged` weights came back in place of as many that were kept.
    """

    round: int
    progress: float
    asked: int
    pruned: int
    units: int
    kept: Mapping[str, float]
    values: PrunedValues | None = None
    exchanged: int = 0


@dataclass(frozen=True)
class Warned:
    """Something a person should know; the run goes on."""

    sentence: str


@dataclass(frozen=True)
class TuningStep:
    """An optimiser step. `step` counts from 1 over the whole run, `loss` is the batch's."""

    round: int
    epoch: int
    step: int
    loss: float


@dataclass(frozen=True)
class Measured:
    """The score on all samples of a split, after `step` optimiser steps, and the share of units pruned."""

    round: int
    step: int
    split: SplitName
    score: float
    sparsity: float


@dataclass(frozen=True)
class Repaired:
    """The cut network was put right without training. `repair` names the way, `score` is the validation score before.

    `before` and `after` say how far its outputs lay from the dense network's, on inputs that the repair did not see:
    mean square, as a share of their variance. Where it came no nearer it is as the cut left it, and `helped` is false.
    `left` are layers that were left as they are, with the reasons.
    """

    round: int
    repair: str
    score: float
    before: float
    after: float
    helped: bool
    # a clock reads otherwise each time: equal repairs are equal all the same
    seconds: float = field(compare=False)
    left: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class UnitSizes:
    """How large the units are that a regulariser pushes to zero, at the validation after `step` optimiser steps.

    Sizes are shares of the mean size that the group's units had in the dense network. `counts` has for each group how
    many units lie in each of 30 bins of equal width on a logarithmic scale from `SIZES_FROM` to `SIZES_TO`; the first
    bin also holds those below, down to 0, the last those above. `near_zero` is the share of all units below
    `NEAR_ZERO`, in [0, 1].
    """

    round: int
    step: int
    near_zero: float
    counts: Mapping[str, tuple[int, ...]]


SIZES_FROM, SIZES_TO, SIZE_BINS = 1e-4, 1e1, 30
NEAR_ZERO = 0.01


@dataclass(frozen=True)
class SurgeryChecked:
    """Units were removed. `max_difference` is the largest |masked − removed| output on 256 validation samples.

    `pruned_share` of the units were pruned and took `removed_parameters` of the parameters with them. `zeroed` is a
    sentence about the groups whose pruned units could only be set to zero, empty if there are none.
    """

    stage: StageName
    max_difference: float
    pruned_share: float
    removed_parameters: float
    zeroed: str = ""


@dataclass(frozen=True)
class Exported:
    """Files were written: kind (safetensors, pt, recipe, report) -> path."""

    artefacts: Mapping[str, str]


@dataclass(frozen=True)
class Verified:
    """The exported file was loaded in a fresh process and scored again.

    `same` only if the scores agree to the digit.
    """

    score: float
    reloaded_score: float
    same: bool


@dataclass(frozen=True)
class Resumed:
    """The run goes on from a checkpoint: its first `events` events are still true, what came after is done again.

    `round` and `step` say where it goes on.
    """

    events: int
    round: int
    step: int


@dataclass(frozen=True)
class Finished:
    """The run is over. `stopped` means that a person ended it early and the result is what there was by then."""

    stopped: bool
    seconds: float


@dataclass(frozen=True)
class Failed:
    """The run ended without a result; the sentence says why and what to do."""

    sentence: str


Event = (
    Searching
    | AmountFound
    | Started
    | StageMeasured
    | Masked
    | Warned
    | TuningStep
    | Measured
    | Repaired
    | UnitSizes
    | SurgeryChecked
    | Exported
    | Verified
    | Resumed
    | Finished
    | Failed
)

EVENTS: dict[str, type[Event]] = {
    "searching": Searching,
    "amount_found": AmountFound,
    "started": Started,
    "stage_measured": StageMeasured,
    "masked": Masked,
    "warned": Warned,
    "tuning_step": TuningStep,
    "measured": Measured,
    "repaired": Repaired,
    "unit_sizes": UnitSizes,
    "surgery_checked": SurgeryChecked,
    "exported": Exported,
    "verified": Verified,
    "resumed": Resumed,
    "finished": Finished,
    "failed": Failed,
}
_RENAMED = {"fallen": "pruned", "fallen_share": "pruned_share"}
"""Fields of events in stores that an earlier version wrote -> their names now."""
_OTHER_VERSION = "the store was written by another version"
_KINDS = {kind: name for name, kind in EVENTS.items()}


def event_to_dict(event: Event) -> dict[str, Any]:
    """A JSON-able dict: the event's fields and its kind."""
    return {"kind": _KINDS[type(event)], **msgspec.to_builtins(event)}


def event_from_dict(fields: Mapping[str, Any]) -> Event:
    """The event that `event_to_dict` wrote, also through JSON. JobError names a field that is not as it was written."""
    kind = fields.get("kind")
    made = EVENTS.get(kind) if isinstance(kind, str) else None
    if made is None:
        raise JobError(f"an event of kind {kind!r} is not known; {_OTHER_VERSION}")
    values = {_RENAMED.get(name, name): value for name, value in fields.items() if name != "kind"}
    if unknown := _unknown(made, values):
        raise JobError(f"an event of kind {kind!r} has a field {unknown[0]}, which is not known; {_OTHER_VERSION}")
    try:
        return msgspec.convert(values, made)
    except (msgspec.ValidationError, WorkloadError) as error:
        raise JobError(f"an event of kind {kind!r} cannot be read: {error}; {_OTHER_VERSION}") from None


def _unknown(made: type[Any], values: Mapping[str, Any]) -> list[str]:
    """Names of values that the dataclass has no field for; msgspec passes over them."""
    found: list[str] = []
    for name, value in values.items():
        part = _field_types(made).get(name)
        if part is None:
            found.append(name)
        elif is_dataclass(part) and isinstance(part, type) and isinstance(value, Mapping):
            found += [f"{name}.{field}" for field in _unknown(part, value)]  # type: ignore[arg-type]
    return found


_field_types = cache(get_type_hints)  # asked for every event of a store
