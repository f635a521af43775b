"""The benchmark of hostile files would notice a file that does harm, and its files are what they are said to be."""

import random
from pathlib import Path

import pytest
import torch

from benchmarks import hostile, hostile_links, hostile_victim
from pruning.errors import RecipeError
from pruning.exporters import reading
from sample_models import MODELS

TENSORS = dict(MODELS[hostile_victim.MODEL]().build().state_dict())


@pytest.mark.parametrize("family", hostile._FAMILIES)
def test_every_family_makes_the_same_file_again_and_others_too(family: str):
    made = [hostile._FAMILIES[family](random.Random(f"{family} {number}"), TENSORS) for number in (0, 0, 1, 2, 3)]
    assert made[0][0] == made[1][0] and len(made[0][1]) == len(made[1][1])
    assert len({content for _, content in made}) > 1


def test_what_a_file_did_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def scored(content: dict[str, torch.Tensor]) -> dict[str, float | str | bool]:
        torch.save(content, tmp_path / "model.pt")
        return hostile_victim.scored(tmp_path / "model.pt")

    monkeypatch.setattr(reading, "run", _reads_here)
    right = scored(TENSORS)
    assert (right["outcome"], right["differs"]) == ("accepted", False)
    assert scored({})["outcome"] == "refused"
    monkeypatch.setattr(hostile_victim, "_plainly", lambda path: {**TENSORS, "fc2.bias": TENSORS["fc2.bias"] + 1})
    assert scored(TENSORS)["differs"]
    monkeypatch.setattr(reading, "_by_child", int)  # a TypeError in our own line
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = scored(TENSORS)
    assert found["outcome"] == "traceback" and "this is a fault of Pruning Explorer" in str(found["said"])


def _reads_here(task, given: Path, folder: Path, limits):
    from pruning.files.child import Answer
    from pruning.files.state_dict_task import to_safetensors

    threads = torch.get_num_threads()
    to_safetensors(given, folder)
    torch.set_num_threads(threads)
    return Answer(None, ())


class _Runs:
    """A victim that runs what it is given, or only looks at it."""

    def __init__(self, canary: Path | None) -> None:
        self.canary = canary

    def score(self, path: Path) -> dict[str, object]:
        if self.canary:
            self.canary.touch()
        return {"outcome": "refused", "seconds": 1.0, "said": "", "bytes": 1, "differs": False}


@pytest.mark.parametrize("what", ["runs", "looks"])
def test_the_canary_is_seen_and_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str):
    canary = tmp_path / "canary"
    monkeypatch.setattr(hostile, "CANARY", str(canary))
    free: hostile.SimpleQueue = hostile.SimpleQueue()
    free.put(_Runs(canary if what == "runs" else None))
    tried = hostile._try("bombs", 0, TENSORS, tmp_path, free)
    assert tried.executed == (what == "runs") and list(tmp_path.iterdir()) == []


def test_links_and_names_are_judged(monkeypatch: pytest.MonkeyPatch):
    def raises(error: Exception):
        def read(text: str) -> None:
            raise error

        return read

    for error, fault in (
        (RecipeError("no"), ""),
        (RecipeError("a\nb"), "a sentence of several lines"),
        (KeyError(), "KeyError"),
    ):
        monkeypatch.setattr(hostile_links, "from_json", raises(error))
        assert hostile_links.fault_of_link("{}") == fault
    assert hostile_links.fault_of_name("a\x1bb") == ""
    monkeypatch.setattr(hostile_links, "shown", str)
    assert hostile_links.fault_of_name("a\x1bb") == "shown as more than text"


def test_a_hundred_links_and_names_are_read():
    assert {hostile_links.fault_of_link(hostile_links.link(random.Random(seed))) for seed in range(100)} == {""}
    assert {hostile_links.fault_of_name(hostile_links.name(random.Random(seed))) for seed in range(100)} == {""}
