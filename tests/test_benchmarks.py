"""The commands around the benchmarks: what is imported, what is recorded, what is called worse, and the page of it."""

import ast
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import history
from benchmarks.against import worse
from benchmarks.catalog import BENCHMARKS
from benchmarks.history import Measurement, append, committed_head, measured_at, read
from benchmarks.measured_page import PAGE, measured_page, number
from benchmarks.networks_page import NETWORKS_PAGE, networks_page
from benchmarks.report import Report, Target
from pruning.errors import PruningError

ROOT = Path(__file__).parents[1]


def module_file(name: str) -> Path:
    return ROOT / f"{BENCHMARKS[name].module.replace('.', '/')}.py"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_a_function_that_measures(name):
    functions = [
        node.name for node in ast.parse(module_file(name).read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    assert "measure" in functions


@pytest.mark.parametrize("name", ["preview", "selection"])
def test_a_benchmark_imports_only_what_it_needs(name):
    code = "import sys\nfor name in ('playwright', 'psutil', 'ray'): sys.modules[name] = None\n"
    code += f"from benchmarks.catalog import BENCHMARKS\nBENCHMARKS[{name!r}].load()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_table_of_benchmarks_imports_none_of_them():
    code = "import sys, benchmarks.__main__\nassert not {'torch', 'playwright', 'psutil'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_figure_on_the_page_is_the_last_one_measured():
    assert PAGE.read_text(encoding="utf-8") == measured_page(), "run python -m benchmarks page"
    assert NETWORKS_PAGE.read_text(encoding="utf-8") == networks_page(), "run python -m benchmarks page"


def test_rows_with_a_page_of_their_own_stand_there_alone(tmp_path):
    rows = [{"network": "a | b", "parameters": 12345, "left": "70 %"}]
    append("zoo", Measurement("abc", "2026-01-02", "here", {"networks": 1.0}, {}, rows), tmp_path)
    shown = "| network | parameters | left |\n|---|---|---|\n| a \\| b | 12345 | 70 % |\n"
    assert networks_page(tmp_path).endswith(f"Commit `abc`, 2026-01-02.\n\n{shown}")
    assert "| networks | 1 |" in measured_page(tmp_path) and "12345" not in measured_page(tmp_path)
    assert "](reference/networks.md)" in measured_page(tmp_path)


def test_every_history_is_of_a_benchmark_and_can_be_read():
    names = [file.stem for file in history.HISTORY.glob("*.jsonl")]
    assert set(names) <= set(BENCHMARKS) and names
    for name in names:
        for measurement in read(name):
            assert set(measurement.targets) <= set(measurement.figures)


def measurement(commit="abc", machine="a laptop", day="2026-01-02", **figures: float) -> Measurement:
    return Measurement(commit, day, machine, figures, {}, [])


def test_a_measurement_is_read_as_it_was_written(tmp_path):
    first = Measurement("abc", "2026-01-02", "here", {"a (s)": 0.5}, {"a (s)": Target(at_most=1.0)}, [{"b": "c"}], "n")
    second = measurement(b=2.0)
    append("live", first, tmp_path)
    append("live", second, tmp_path)
    assert read("live", tmp_path) == [first, second]
    assert read("start", tmp_path) == []


def test_the_page_shows_the_last_measurement_of_each_machine(tmp_path):
    append("start", measurement(old=1.0), tmp_path)
    append("start", measurement(machine="a cluster", far=2.0), tmp_path)
    append("start", measurement(commit="def", new=3.0), tmp_path)
    page = measured_page(tmp_path)
    assert "| new | 3 |" in page and "| far | 2 |" in page and "| old |" not in page
    assert "a laptop; commit `def`, 2026-01-02." in page and page.count("## ") == 1


def test_a_missed_target_is_seen_on_the_page(tmp_path):
    targets = {"a": Target(at_least=3.0), "b": Target(at_most=3.0)}
    append("start", Measurement("abc", "2026-01-02", "here", {"a": 2.0, "b": 2.0}, targets), tmp_path)
    page = measured_page(tmp_path)
    assert "| a | 2 | >= 3 | **no** |" in page and "| b | 2 | <= 3 | yes |" in page


@pytest.mark.parametrize("value, text", [(19460.0, "19460"), (0.4, "0.4"), (4.8e-7, "4.8e-07"), (92.193, "92.19")])
def test_numbers_have_four_digits_and_counts_all_of_theirs(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    "figure, before, now, called_worse",
    [
        ("seconds", 10.0, 11.9, False),
        ("seconds", 10.0, 12.1, True),
        ("seconds", 10.0, 2.0, False),
        ("times as fast", 10.0, 8.1, False),
        ("times as fast", 10.0, 7.9, True),
        ("times as fast", 10.0, 30.0, False),
        ("waited", 10.0, 12.1, True),  # no target, but which way is better is declared
        ("cases", 10.0, 1.0, False),  # nobody says which way is better
        ("points", -0.2, -0.3, False),  # a negative figure has no fifth: its target decides
    ],
)
def test_worse_by_more_than_a_fifth(figure, before, now, called_worse):
    targets = {"seconds": Target(at_most=99.0), "times as fast": Target(at_least=1.0), "points": Target(at_least=-1.0)}
    targets = {name: target for name, target in targets.items() if name == figure}
    assert worse(Report({figure: now}, targets, better={"waited": "less"}), {figure: before}) == [figure] * called_worse


def test_a_figure_that_was_not_measured_before_is_not_worse():
    assert worse(Report({"a": 9.0}, {"a": Target(at_most=1.0)}), {}) == []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits: `first` and HEAD."""
    root = tmp_path / "repository"
    root.mkdir()
    history.git(root, "init", "--quiet")
    history.git(root, "config", "user.email", "somebody@example.org")
    history.git(root, "config", "user.name", "Somebody")
    for text in ("first", "second"):
        (root / "file").write_text(text)
        history.git(root, "add", "file")
        history.git(root, "commit", "--quiet", "-m", text)
    history.git(root, "tag", "first", "HEAD~1")
    return root


def test_only_what_is_committed_is_recorded(repository):
    assert history.git(repository, "rev-parse", "HEAD").startswith(committed_head(repository))
    (repository / "file").write_text("changed")
    with pytest.raises(PruningError, match="file differs from the last commit"):
        committed_head(repository)


def test_records_themselves_may_be_uncommitted(repository):
    for path in ("benchmarks/history/live.jsonl", "docs/measured.md"):
        file = repository / path
        file.parent.mkdir(parents=True)
        file.write_text("one")
        history.git(repository, "add", path)
    history.git(repository, "commit", "--quiet", "-m", "records")
    (repository / "docs" / "measured.md").write_text("two")
    (repository / "benchmarks" / "history" / "live.jsonl").write_text("two")
    assert committed_head(repository)


def test_the_last_measurement_at_a_revision_or_before_it(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(history, "machine", lambda: "here")
    first, head = (history.git(repository, "rev-parse", revision) for revision in ("first", "HEAD"))
    folder = tmp_path / "history"
    append("live", measurement(first, "here", a=1.0), folder)
    append("live", measurement(first, "elsewhere", a=2.0), folder)
    append("live", measurement(head, "elsewhere", a=3.0), folder)
    assert measured_at("live", "first", folder, repository).figures == {"a": 1.0}  # this machine's comes first
    assert measured_at("live", "HEAD", folder, repository).figures == {"a": 1.0}
    append("live", measurement(head, "here", a=4.0), folder)
    assert measured_at("live", "HEAD", folder, repository).figures == {"a": 4.0}
    assert measured_at("live", "first", folder, repository).figures == {"a": 1.0}


def test_without_a_record_the_way_out_is_said(repository, tmp_path):
    with pytest.raises(PruningError, match=r"live has no record at HEAD or before it; .* --record"):
        measured_at("live", "HEAD", tmp_path, repository)
    with pytest.raises(PruningError, match="there is no such commit"):
        measured_at("live", "nothing", tmp_path, repository)


@pytest.fixture
def measured_now(monkeypatch, tmp_path):
    """A benchmark that takes no time: its report is what the test sets."""
    reports: list[Report] = []
    monkeypatch.setattr(history, "machine", lambda: "here")
    monkeypatch.setattr(type(BENCHMARKS["live"]), "load", lambda self: reports.pop)
    return reports


@pytest.mark.parametrize("value, machine, code", [(1.1, "here", 0), (1.3, "here", 1), (1.3, "elsewhere", 0)])
def test_worse_than_before_on_the_same_machine_ends_with_1(measured_now, monkeypatch, value, machine, code, capsys):
    monkeypatch.setattr(history, "measured_at", lambda name, revision: measurement("abc", machine, a=1.0))
    measured_now.append(Report({"a": value}, better={"a": "less"}))
    assert command.main(["live", "--against", "v1"]) == code
    shown = capsys.readouterr().out
    assert "abc" in shown and ("WORSE" in shown) == (value > 1.2)


def test_a_missed_target_ends_with_1(measured_now):
    measured_now.append(Report({"a": 2.0}, {"a": Target(at_most=1.0)}))
    assert command.main(["live"]) == 1


def test_a_record_is_added_and_the_page_written(measured_now, monkeypatch, tmp_path):
    monkeypatch.setattr(history, "committed_head", lambda: "abc")
    monkeypatch.setattr(history, "append", partial(append, folder=tmp_path))
    monkeypatch.setattr(command, "PAGE", tmp_path / "measured.md")
    measured_now.append(Report({"a": 2.0}))
    assert command.main(["live", "--record"]) == 0
    (recorded,) = read("live", tmp_path)
    assert (recorded.commit, recorded.machine, recorded.figures) == ("abc", "here", {"a": 2.0})
    assert (tmp_path / "measured.md").exists()


def test_what_cannot_be_recorded_is_refused_before_measuring(measured_now, monkeypatch, capsys):
    def refuse() -> str:
        raise PruningError("file differs from the last commit")

    monkeypatch.setattr(history, "committed_head", refuse)
    assert command.main(["live", "--record"]) == 2
    assert capsys.readouterr().err == "error: file differs from the last commit\n"


def test_only_the_siege_takes_a_number_of_kills(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    asked: list[int] = []

    def measured(kills: int) -> Report:
        asked.append(kills)
        return Report({"kills": float(kills)})

    monkeypatch.setattr(type(BENCHMARKS["siege"]), "load", lambda self: measured)
    assert command.main(["siege", "--kills", "20"]) == 0 and asked == [20]
    with pytest.raises(SystemExit):
        command.main(["live", "--kills", "20"])
    assert "--kills is for siege" in capsys.readouterr().err
