"""What one worker has computed the others read: the same values, mapped, computed once."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning.criteria import Taylor
from pruning.granularities import Channels
from pruning.interactive import queries, shared_answers
from pruning.interactive.session import PreviewSession
from pruning.interactive.shared_answers import SharedAnswers
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from tests.networks import CPU, tiny

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool]


def forbidden() -> object:
    raise AssertionError("computed again")


@given(shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=4), dtype=st.sampled_from(DTYPES))
def test_tensors_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, shapes, dtype):
    values = {str(i): torch.randn(shape).to(dtype) for i, shape in enumerate(shapes)}
    folder = tmp_path_factory.mktemp("answers")
    SharedAnswers(folder).computed("x", lambda: (values, "word"))
    found, word = SharedAnswers(folder).computed("x", forbidden)
    assert word == "word" and found.keys() == values.keys()
    for name, value in values.items():
        assert found[name].dtype == dtype and found[name].shape == value.shape and torch.equal(found[name], value)


def test_parts_and_views_of_tensors_are_themselves(tmp_path: Path):
    whole = torch.arange(24.0).reshape(4, 6)
    SharedAnswers(tmp_path).computed("x", lambda: [whole.T, whole[1:3, ::2], whole[0, 0]])
    turned, part, one = SharedAnswers(tmp_path).computed("x", forbidden)
    assert torch.equal(turned, whole.T) and torch.equal(part, whole[1:3, ::2]) and torch.equal(one, whole[0, 0])


def test_who_writes_into_what_is_shared_changes_it_for_nobody_else(tmp_path: Path):
    SharedAnswers(tmp_path).computed("x", lambda: torch.zeros(5))
    mine = SharedAnswers(tmp_path).computed("x", forbidden)
    mine += 1
    assert torch.equal(SharedAnswers(tmp_path).computed("x", forbidden), torch.zeros(5))


def test_who_asks_for_what_another_computes_waits_for_it(tmp_path: Path):
    begun, go, computed = threading.Event(), threading.Event(), []

    def compute() -> int:
        computed.append(1)
        begun.set()
        go.wait(10)
        return 7

    answers: list[int] = []

    def ask() -> None:
        answers.append(SharedAnswers(tmp_path).computed("x", compute))

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    begun.wait(10)
    go.set()
    for thread in asking:
        thread.join(10)
    assert answers == [7, 7, 7] and len(computed) == 1


def test_what_cannot_be_computed_is_nobodys_answer(tmp_path: Path):
    shared = SharedAnswers(tmp_path)
    with pytest.raises(ZeroDivisionError):
        shared.computed("x", lambda: 1 // 0)
    assert not shared.has("x") and shared.computed("x", lambda: 1) == 1 and shared.has("x")


def test_a_value_that_cannot_be_written_is_computed_by_each(tmp_path: Path):
    for _ in range(2):
        assert SharedAnswers(tmp_path).computed("x", lambda: lambda: 5)() == 5
    assert [path for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_the_oldest_answers_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared_answers, "MOST_BYTES", 10_000)
    shared = SharedAnswers(tmp_path)
    kept = shared.computed("0", lambda: torch.full((1000,), 3.0))
    for number in range(1, 5):
        shared.computed(str(number), lambda: torch.zeros(1000))
    assert [shared.has(str(number)) for number in range(5)] == [False, False, False, True, True]
    assert bool((kept == 3.0).all())


SECOND = """
import sys
from pathlib import Path
from unittest.mock import patch
from tests.interactive.test_shared_answers import asked, bench
computing = [patch(f"pruning.interactive.session.{name}") for name in ("timed_scores", "rank", "dense_reference")]
begun = [one.start() for one in computing]
print(asked(bench(Path(sys.argv[1]))))
assert not any(one.called for one in begun)
"""
RECIPE = Recipe("mlp", Taylor(), Channels(), amount=Sparsity(0.4))


def bench(folder: Path) -> PreviewSession:
    return PreviewSession({"mlp": lambda: tiny("mlp", count=200)}, CPU, SharedAnswers(folder))


def asked(session: PreviewSession) -> str:
    view = queries.look(session, RECIPE, "score")
    return f"{view.pruned} {view.bytes} {view.cut} {queries.estimate(session, RECIPE, 9.0).estimate}"


def test_another_process_scores_sorts_and_evaluates_nothing_again(tmp_path: Path):
    first = asked(bench(tmp_path))
    done = subprocess.run([sys.executable, "-c", SECOND, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == first
