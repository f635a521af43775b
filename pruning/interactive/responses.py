"""What the page gets while a person moves a slider: plain values that can be pickled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pruning.evaluation.estimate import Estimate
from pruning.events import PrunedValues
from pruning.metric import ACCURACY, Metric
from pruning.model.descriptions import Costs, LayerRow

BINS = 64
CELLS = 128
Axis = Literal["score", "sigma"]
"""score: importance, one axis for all layers.

sigma: the weight's value in standard deviations of its layer, -4 to 4.
"""


@dataclass(frozen=True)
class ModelView:
    """A workload as it is before anything is pruned.

    `score` is the dense model's on all `samples` of the validation split, and `metric` says what it is; `at_chance` is
    a sentence where it is no better than guessing, else empty. `checkpoints` name its earlier states, `teachers`
    networks that it can learn from. `train_samples` are in the training split.
    """

    name: str
    data: str
    device: str
    layers: tuple[LayerRow, ...]
    classes: tuple[str, ...]
    score: float
    samples: int
    costs: Costs
    checkpoints: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()
    metric: Metric = ACCURACY
    at_chance: str = ""
    train_samples: int = 0


@dataclass(frozen=True, eq=False)
class LayerView:
    """A row of the layer panel. Bins cover `low` to `high`; `kept` and `pruned` int64 [BINS] count weights or units.

    On the axis of weights they count weights. `cuts` are where the lines are drawn on that axis. `why_not` is a
    sentence where the layer has no units that may be pruned; `row` names the row that a coupled layer follows, else its
    own. Units are those that own values of this layer; `of_several` says that their group has others elsewhere.
    """

    name: str
    row: str
    units: int
    pruned_units: int
    whole: bool
    why_not: str
    low: float
    high: float
    kept: np.ndarray[Any, np.dtype[np.int64]]
    pruned: np.ndarray[Any, np.dtype[np.int64]]
    cuts: tuple[float, ...]
    of_several: bool = False


@dataclass(frozen=True, eq=False)
class CutPreview:
    """A recipe's amount on the dense model, without tuning. Sizes are after removal, where units can be removed.

    `cut` is the score at which the common pool is cut, None where it has no single one. `zero_before` counts values
    that were zero before anything were pruned. `zeroed` is a sentence about the groups whose units cannot be removed
    where others can, empty if there are none.
    """

    layers: tuple[LayerView, ...]
    units: int
    asked: int
    pruned: int
    cut: float | None
    parameters: int
    nonzero: int
    zero_before: int
    bytes: int
    macs: int
    values: PrunedValues
    zeroed: str = ""


@dataclass(frozen=True)
class Scoring:
    """How far the units of a recipe are scored: a share in [0, 1], and about how many seconds of computing are left."""

    share: float
    seconds_left: float

    @property
    def done(self) -> bool:
        return self.share >= 1.0


@dataclass(frozen=True)
class AccuracyPreview:
    """How a cut scores on the validation split so far, and the gzip size of its file once that is known."""

    estimate: Estimate
    gzip_bytes: int | None


@dataclass(frozen=True)
class Repairing:
    """A repair that goes on, and about how many seconds of computing its passes still take: 0 where only solving, or
    what cannot be known beforehand, is left.
    """

    seconds_left: float


@dataclass(frozen=True)
class RepairPreview:
    """How a repaired cut scores on the validation split so far, and what the repair did in how many seconds.

    `helped` is false where it was taken back: the cut is then as it was. `left` are layers that it left as they are,
    with the reasons.
    """

    estimate: Estimate
    helped: bool
    seconds: float
    left: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Heatmap:
    """Importance of a layer's weights as a matrix: Linear out x in, convolution filters x (channels·kernel).

    Without `out_by_in` it is dimension 0 x the other dimensions, as the weight is stored.

    `lowest` and `highest` are the ends of the colour scale at every zoom: 0, or the layer's lowest value if that is
    negative, and its highest.

    `values` float32 and `pruned` uint8 (share of pruned weights, 0 to 255) are [rows, columns], each cell the maximum
    over a part of the window `top:bottom, left:right` of the `shape`; where the window fits, cells are single
    weights.
    """

    layer: str
    shape: tuple[int, int]
    top: int
    bottom: int
    left: int
    right: int
    values: np.ndarray[Any, np.dtype[np.float32]]
    pruned: np.ndarray[Any, np.dtype[np.uint8]]
    of_units: bool
    lowest: float
    highest: float
    out_by_in: bool = True


@dataclass(frozen=True, eq=False)
class UnitsView:
    """The units of one group as they lie: `scores` float32 and `pruned` bool, both of the group's layout.

    `names` are the units' where they have names of their own, as blocks of layers do.
    """

    layer: str
    scores: np.ndarray[Any, np.dtype[np.float32]]
    pruned: np.ndarray[Any, np.dtype[np.bool_]]
    names: tuple[str, ...] = ()
