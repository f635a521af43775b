"""A cell of a map that is as narrow as asked stays so, whatever limit is asked about next."""

from pruning.layer_sensitivity.analysis import analysis_of
from pruning.recipe.recipe import Recipe
from tests.networks import CPU, taught, tiny

LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
LIMITS = (0.003, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.15)


def test_a_cell_once_as_narrow_as_asked_never_gets_wider_than_that():
    """Limits move to and fro in the middle of the work. A cell that decides is evaluated on more samples than its width
    took, and its interval must then hold wherever one stops: that alone would make it wider.
    """
    asked = 0.02
    analysis = analysis_of(tiny("mlp", count=10_000), Recipe("tiny"), LEVELS, CPU)
    assert analysis.advance(60.0, asked).done
    decided = 0
    for step in range(80):
        seen = analysis.advance(0.0, asked, LIMITS[step % len(LIMITS)])
        widths = [cell.estimate.half_width for row in seen.rows for cell in row.cells]
        assert max(widths) <= asked
        decided += not seen.done
    assert decided > 20  # there was something to decide


def test_a_cell_that_decided_becomes_narrower_by_more_samples_and_not_by_being_asked():
    """A cell that decides is not shown wider than was asked. When less is asked, that must not make it narrower."""
    work, recipe = taught("mlp", count=10_000), Recipe("mlp")
    analysis = analysis_of(work, recipe, LEVELS, CPU)
    assert analysis.advance(60.0, 0.05, 0.04).done
    seen = analysis.advance(60.0, 0.003)
    fresh = analysis_of(work, recipe, LEVELS, CPU).advance(60.0, 0.003)
    for row, expected in zip(seen.rows, fresh.rows, strict=True):
        for cell, other in zip(row.cells, expected.cells, strict=True):
            assert cell.estimate.half_width <= 0.003
            # it may end a little earlier, for it is looked at where it stood
            assert cell.estimate.samples >= 0.8 * other.estimate.samples, (row.name, cell.level)
