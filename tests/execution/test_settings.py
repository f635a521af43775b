from dataclasses import fields

import pytest

from pruning.errors import JobError
from pruning.execution.settings import VARIABLES, Limits
from pruning.options.docstrings import field_docs


def test_nothing_set_means_the_defaults():
    assert Limits.from_environment({}) == Limits()
    assert Limits.from_environment({"PRUNING_ATTEMPTS": ""}) == Limits()


def test_each_variable_sets_its_own():
    environment = {
        "PRUNING_RUNS_PER_SESSION": "2",
        "PRUNING_SWEEP_RUNS": "6",
        "PRUNING_INTERACTIVE": "3",
        "PRUNING_BACKGROUND": "2",
        "PRUNING_RUN_WORKERS": "4",
        "PRUNING_ATTEMPTS": "5",
        "PRUNING_LEASE_S": "7.5",
    }
    assert Limits.from_environment(environment) == Limits(
        runs_per_session=2,
        sweep_runs=6,
        interactive_workers=3,
        background_workers=2,
        run_workers=4,
        attempts=5,
        lease_s=7.5,
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "PRUNING_RUN_WORKERS",
            "two",
            "PRUNING_RUN_WORKERS is 'two'; set it to a whole number from 1 to 1000000000, or to nothing",
        ),
        ("PRUNING_RUN_WORKERS", "0", "PRUNING_RUN_WORKERS is '0'; set it to a whole number from 1 to 1000000000"),
        ("PRUNING_ATTEMPTS", "2.5", "PRUNING_ATTEMPTS is '2.5'; set it to a whole number"),
        ("PRUNING_LEASE_S", "1", "PRUNING_LEASE_S is '1'; set it to a number from 3 to 1000000000, or to nothing"),
        ("PRUNING_LEASE_S", "nan", "PRUNING_LEASE_S is 'nan'"),
    ],
)
def test_what_makes_no_sense_is_named(name: str, value: str, sentence: str):
    with pytest.raises(JobError, match=sentence):
        Limits.from_environment({name: value})


def test_spaces_around_a_number_do_not_matter():
    assert Limits.from_environment({"PRUNING_ATTEMPTS": " 4 "}).attempts == 4


def test_every_field_has_its_variable_which_its_help_names():
    assert sorted(VARIABLES.values()) == sorted(field.name for field in fields(Limits))
    assert all(variable in field_docs(Limits)[field] for variable, field in VARIABLES.items())
