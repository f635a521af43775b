"""What a sweep leaves as files: read back, they say what the table says."""

import csv
import io
import sys
import xml.etree.ElementTree as ElementTree

import pandas
import pytest

from pruning.errors import ExportError
from pruning.reporting.sweep_exports import means, records, to_csv, to_latex
from pruning.reporting.sweep_files import FILES, Results
from pruning.reporting.sweep_table import sweep_table
from tests.reporting.sweep_trials import trial

TRIALS = [
    trial(0.8, 0.5, 0), trial(0.84, 0.5, 1), trial(0.7, 0.9, 0, criterion="optimal_brain_damage"),
    trial(0.91, 0.0, role="dense"),
]  # fmt: skip
RESULTS = Results(TRIALS)


def test_csv_has_a_row_for_each_run_with_its_settings_by_path() -> None:
    found = list(csv.DictReader(io.StringIO(FILES["runs.csv"](RESULTS).decode())))
    assert len(found) == 4
    assert found[1]["seed"] == "1" and found[1]["amount.share"] == "0.5" and found[1]["role"] == "grid"
    assert float(found[1]["score"]) == 0.84 and float(found[1]["compression"]) == 2.0
    assert "version" not in found[0] and to_csv([]) == ""


def test_csv_of_the_table_has_means_and_half_widths() -> None:
    first, second, _ = list(csv.DictReader(io.StringIO(FILES["table.csv"](RESULTS).decode())))
    assert float(first["score"]) == pytest.approx(0.82)
    assert float(first["score_half_width"]) == pytest.approx(0.2541, abs=1e-4)
    assert first["seeds"] == "2" and second["score_half_width"] == ""


def test_parquet_reads_back_as_the_records() -> None:
    frame = pandas.read_parquet(io.BytesIO(FILES["runs.parquet"](RESULTS)))
    assert list(frame.columns) == list(records(TRIALS)[0])
    assert frame["score"].tolist() == [0.8, 0.84, 0.7, 0.91] and frame["nonzero"].tolist() == [50, 50, 10, 100]


def test_without_pyarrow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExportError, match="needs pyarrow; run pip install"):
        FILES["runs.parquet"](RESULTS)


def test_latex_has_the_rules_of_booktabs_and_escapes_what_latex_reads() -> None:
    text = to_latex(sweep_table(TRIALS))
    lines = text.splitlines()
    assert [line for line in lines if "rule" in line] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert r"optimal\_brain\_damage" in text and r"82.00 $\pm$ 25.41\,\%" in text and "%" in lines[0]
    head = next(line for line in lines if line.startswith("what"))
    body = [line for line in lines if line.endswith(r"\\") and line != head]
    assert len(body) == 3 and {line.count(" & ") for line in (head, *body)} == {head.count(" & ")}
    (shape,) = [line for line in lines if line.startswith(r"\begin{tabular}")]
    assert len(shape.partition("{tabular}{")[2].rstrip("}")) == head.count(" & ") + 1
    assert not any(letter in text for letter in "±×\u202f\u2212–")


def test_pictures_are_what_their_names_say_and_equal_each_time() -> None:
    assert FILES["tradeoff.png"](RESULTS).startswith(b"\x89PNG")
    assert FILES["tradeoff.pdf"](RESULTS).startswith(b"%PDF")
    svg = FILES["tradeoff.svg"](RESULTS)
    ElementTree.fromstring(svg)
    words = svg.decode()
    for word in ("magnitude", "optimal brain damage", "dense control", "Pareto front", "accuracy, % (test)"):
        assert word in words  # text stays text
    assert svg == FILES["tradeoff.svg"](RESULTS)


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ExportError, match="needs matplotlib; run pip install"):
        FILES["tradeoff.png"](RESULTS)


def test_a_row_of_means_for_each_setting_and_control() -> None:
    assert [row["role"] for row in means(RESULTS.table)] == ["grid", "grid", "dense"]
