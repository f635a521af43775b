import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.errors import JobError
from pruning.events import EVENTS, Event, Failed, Masked, Stage, StageMeasured, event_from_dict, event_to_dict

SCALARS = {
    int: st.integers(0, 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(max_size=20),
    bool: st.booleans(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    if hint in SCALARS:
        return SCALARS[hint]
    if dataclasses.is_dataclass(hint):
        return built(hint)
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=4).map(tuple)
    if get_origin(hint) is Mapping or get_origin(hint) is dict:
        return st.dictionaries(st.text(max_size=5), values(get_args(hint)[1]), max_size=4)
    if type(None) in get_args(hint):
        return st.one_of(st.none(), values(get_args(hint)[0]))
    raise AssertionError(f"no strategy for {hint}; add one here")


def built(made: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(made)
    return st.builds(made, **{f.name: values(hints[f.name]) for f in dataclasses.fields(made)})


@pytest.mark.parametrize("kind", EVENTS)
@settings(max_examples=60)  # for each of the eleven
@given(data=st.data())
def test_every_event_becomes_json_and_back(kind, data):
    event = data.draw(built(EVENTS[kind]))
    fields = json.loads(json.dumps(event_to_dict(event)))
    assert fields["kind"] == kind
    assert event_from_dict(fields) == event


def test_the_table_holds_every_event():
    assert set(EVENTS.values()) == set(get_args(Event))


def test_a_stage_reads_as_the_command_line_prints_it():
    stage = Stage(0.5, 0.25, 10, 7, 6, 5, 400, 300, (0.5, 0.5))
    assert event_to_dict(StageMeasured("dense", stage)) == {
        "kind": "stage_measured",
        "stage": "dense",
        "result": {
            **{"score": 0.5, "validation": 0.25, "samples": 10, "parameters": 7, "nonzero": 6, "macs": 5},
            **{"bytes": 400, "gzip_bytes": 300, "class_scores": (0.5, 0.5), "latency_ms": 0.0},
        },
    }


def test_an_event_of_another_version_is_refused():
    with pytest.raises(JobError, match="'danced' is not known; the store was written by another version"):
        event_from_dict({"kind": "danced"})


@pytest.mark.parametrize("event", [Failed("x"), Masked(0, 1.0, 2, 1, 4, {"a": 0.5})])
def test_events_are_frozen(event):
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.round = 3
