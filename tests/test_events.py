import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.errors import JobError
from pruning.events import (
    EVENTS,
    Event,
    Failed,
    Masked,
    Stage,
    StageMeasured,
    Started,
    SurgeryChecked,
    TuningStep,
    event_from_dict,
    event_to_dict,
)
from pruning.metric import ACCURACY, Metric

SCALARS = {
    int: st.integers(0, 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(max_size=20),
    bool: st.booleans(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    if hint in SCALARS:
        return SCALARS[hint]
    if hint is Metric:  # not every range is one
        return st.sampled_from([ACCURACY, Metric("MSE", "lower", low=0.0), Metric("R²", high=1.0), Metric("return")])
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
            **{"bytes": 400, "gzip_bytes": 300, "class_scores": (0.5, 0.5), "latency_ms": 0.0, "class_samples": ()},
        },
    }


def test_a_run_that_an_earlier_version_stored_is_scored_by_accuracy():
    fields = {"kind": "started", "workload": "m", "device": "cpu", "rounds": 1, "steps": 2, "classes": []}
    assert event_from_dict(fields) == Started("m", "cpu", 1, 2, (), ACCURACY)


def test_a_metric_that_cannot_be_is_refused_as_any_other_field():
    fields = event_to_dict(Started("m", "cpu", 1, 2, (), ACCURACY))
    with pytest.raises(JobError, match="an event of kind 'started' cannot be read: the metric accuracy lies between"):
        event_from_dict(fields | {"metric": fields["metric"] | {"low": 2.0}})


def test_a_loss_that_is_no_number_stays_what_it_is():
    """A diverging training must not end the reading of its run."""
    text = json.dumps(event_to_dict(TuningStep(0, 1, 2, float("nan"))))
    assert math.isnan(event_from_dict(json.loads(text)).loss)


OF_AN_EARLIER_VERSION = [
    (
        {"kind": "masked", "round": 1, "progress": 0.5, "asked": 6, "fallen": 4, "units": 8, "kept": {"fc1": 0.5}},
        Masked(1, 0.5, 6, 4, 8, {"fc1": 0.5}),
    ),
    (
        {
            **{"kind": "surgery_checked", "stage": "pruned", "max_difference": 0.0},
            **{"fallen_share": 0.25, "removed_parameters": 0.5},
        },
        SurgeryChecked("pruned", 0.0, 0.25, 0.5),
    ),
    (
        {
            **{"kind": "stage_measured", "stage": "dense"},
            "result": {
                **{"score": 1, "validation": 0.5, "samples": 10, "parameters": 7, "nonzero": 6, "macs": 5},
                **{"bytes": 400, "gzip_bytes": 300},
            },
        },
        StageMeasured("dense", Stage(1.0, 0.5, 10, 7, 6, 5, 400, 300)),
    ),
]


@pytest.mark.parametrize("fields, event", OF_AN_EARLIER_VERSION, ids=["fallen", "fallen_share", "before latency"])
def test_a_store_of_an_earlier_version_is_still_read(fields, event):
    assert event_from_dict(json.loads(json.dumps(fields))) == event


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"kind": "danced"}, "an event of kind 'danced' is not known;"),
        ({}, "an event of kind None is not known;"),
        ({"kind": ["failed"]}, "an event of kind ['failed'] is not known;"),
        (
            {"kind": "failed", "sentence": "x", "mood": 1},
            "an event of kind 'failed' has a field mood, which is not known;",
        ),
        (
            {"kind": "stage_measured", "stage": "dense", "result": {"score": 1.0, "mood": 1}},
            "an event of kind 'stage_measured' has a field result.mood, which is not known;",
        ),
        (
            {"kind": "stage_measured", "stage": "dense", "result": {"score": "high"}},
            "an event of kind 'stage_measured' cannot be read: Expected `float`, got `str` - at `$.result.score`;",
        ),
        (
            {"kind": "stage_measured", "stage": "cut", "result": {}},
            "an event of kind 'stage_measured' cannot be read: Invalid enum value 'cut' - at `$.stage`;",
        ),
        ({"kind": "failed"}, "an event of kind 'failed' cannot be read: Object missing required field `sentence`;"),
    ],
)
def test_what_is_no_event_is_refused_and_the_field_is_named(fields, sentence):
    with pytest.raises(JobError) as caught:
        event_from_dict(fields)
    assert str(caught.value) == f"{sentence} the store was written by another version"


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=4,
)


@pytest.mark.parametrize("kind", EVENTS)
@settings(max_examples=40)
@given(data=st.data())
def test_any_other_value_of_a_field_is_refused_or_read_as_what_it_is(kind, data):
    fields = event_to_dict(data.draw(built(EVENTS[kind])))
    name = data.draw(st.sampled_from([field.name for field in dataclasses.fields(EVENTS[kind])]))
    fields[name] = data.draw(plain)
    try:
        event = event_from_dict(json.loads(json.dumps(fields)))
    except JobError as error:
        assert f"of kind {kind!r} " in str(error) and name in str(error) and "\n" not in str(error)
    else:
        assert json.dumps(event_to_dict(event)[name]) in (json.dumps(fields[name]), json.dumps(_as_float(fields[name])))


def _as_float(value: Any) -> Any:
    """Whole numbers are floats where a field takes a float."""
    if isinstance(value, dict):
        return {key: _as_float(inner) for key, inner in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e300 else value


@pytest.mark.parametrize("event", [Failed("x"), Masked(0, 1.0, 2, 1, 4, {"a": 0.5})])
def test_events_are_frozen(event):
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.round = 3
