import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.selection import properties, tried
from tests.conftest import PROFILE
from tests.selection import test_ranking_properties as test_select_properties

ROOT = Path(__file__).parents[1]


@given(st.integers())
def holds(_number):
    pass


@given(st.integers(0, 1000))
def fails(number):
    assert number < 500


def test_a_property_is_run_on_as_many_cases_as_asked_whatever_the_tests_take():
    assert tried(holds, 40)["cases"] == 40 and tried(holds, 1200)["cases"] == 1200
    assert tried(holds, 40)["failures"] == 0


def test_a_property_that_does_not_hold_is_counted_as_a_failure(capsys):
    assert tried(fails, 200)["failures"] == 1
    assert "assert number < 500" in capsys.readouterr().err


def test_trying_leaves_the_property_to_the_tests_as_it_was():
    inner, settings = holds.hypothesis.inner_test, holds._hypothesis_internal_use_settings
    tried(holds, 5)
    assert holds.hypothesis.inner_test is inner and holds._hypothesis_internal_use_settings is settings
    assert settings.max_examples == PROFILE.max_examples


def test_every_property_of_the_selection_is_run():
    drawn = [name for name, check in vars(test_select_properties).items() if hasattr(check, "hypothesis")]
    assert len(properties()) == len(drawn) >= 12


def test_the_settings_of_the_tests_do_not_reach_the_other_benchmarks():
    """They set one thread: a network tuned with it ends with other digits."""
    asked = "import sys, torch; before = torch.get_num_threads(); import benchmarks.__main__; "
    asked += "print(torch.get_num_threads() == before, 'tests.conftest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
