"""Compare: the table of criteria, and its charts."""

import numpy as np
import streamlit as st

from pruning.evaluation.estimate import Estimate
from pruning.metric import ACCURACY, Metric
from pruning.pipeline.comparison import Compared, Effort
from pruning.reporting.plots_run import agreement_figure, comparison_figure
from views.compare.table import CSS, table_html
from views.gallery.lab import MSE, ROWS, model
from views.gallery.states import Draw, States
from views.shared.language import _

MEASURED = Estimate(0.9083, 0.0, -0.0075, 10_000, 10_000)
ESTIMATED = Estimate(0.712, 0.013, -0.204, 1_200, 10_000)
DONE = Compared("magnitude", 20_288, 10_144, Effort(0.0021, 0, 0), MEASURED)
ALL_SORTS = [
    DONE,
    Compared("taylor", 20_288, 10_144, Effort(1.43, 1024, 1024), ESTIMATED),
    Compared("wanda", 20_288, 10_144, Effort(74.0, 1024, 0)),
    Compared("random"),
    Compared("batchnorm_scale", problem="batchnorm_scale needs a norm after each layer; this network has none: choose another criterion"),
]  # fmt: skip
LARGE = [
    Compared("optimal_brain_surgeon", 25_502_912, 20_402_330, Effort(7_261.0, 65_536, 65_536), MEASURED),
    Compared("attribution", 25_502_912, 25_502_912, Effort(59.0, 65_536, 65_536), Estimate(0.1, 0.0, -0.8158, 10_000, 10_000)),
]  # fmt: skip


BY_ERROR = [
    Compared("magnitude", 20_288, 10_144, Effort(0.0021, 0, 0), Estimate(0.08627, 0.0, 0.01507, 10_000, 10_000)),
    Compared("taylor", 20_288, 10_144, Effort(1.43, 1024, 1024), Estimate(0.0701, 0.0042, -0.0011, 1_200, 10_000)),
]  # fmt: skip


def _table(rows: list[Compared], score: float = 0.9158, metric: Metric = ACCURACY) -> Draw:
    def draw(key: str) -> None:
        st.html(CSS + table_html(model(ROWS, score=score, metric=metric), rows))

    return draw


def _chart(rows: list[Compared], score: float = 0.9158, metric: Metric = ACCURACY) -> Draw:
    def draw(key: str) -> None:
        figure = comparison_figure(rows, score, metric)
        st.plotly_chart(
            figure, key=f"{key}_chart", config={"displayModeBar": False}, alt=_("accuracy of each criterion")
        )

    return draw


def _agreement(key: str) -> None:
    kinds = ("magnitude", "optimal_brain_surgeon", "batchnorm_scale")
    values = np.array([[1.0, 0.42, -0.1], [0.42, 1.0, 0.0], [-0.1, 0.0, 1.0]])
    figure = agreement_figure(kinds, values.tolist(), -1.0)
    st.plotly_chart(figure, key=f"{key}_chart", config={"displayModeBar": False}, alt=_("agreement of criteria"))


STATES: States = {
    "criteria": {
        "measured, estimated, evaluating, scoring, refused": _table(ALL_SORTS),
        "one": _table([DONE]),
        "10⁷ weights, all pruned": _table(LARGE),
        "by an error": _table(BY_ERROR, 0.0712, MSE),
    },
    "accuracy": {
        "some are estimated": _chart(ALL_SORTS),
        "nothing is known yet": _chart([Compared("random")]),
        "an error": _chart(BY_ERROR, 0.0712, MSE),
    },
    "agreement": {"three criteria": _agreement},
}
