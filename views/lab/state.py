"""What the Lab remembers from one run of its script to the next."""

from dataclasses import dataclass

from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from views.shared.state import remembered


@dataclass
class LabState:
    """Nothing here is a control's own value."""

    heatmap_layer: str | None = None
    """The layer whose heatmap was asked for; None: the first that can be pruned."""
    heatmap_window: tuple[int, int, int, int] | None = None
    """Top, bottom, left and right of the part that is shown; None: the whole layer."""
    heatmap_of: tuple[str, str] | None = None
    """The workload and the granularity that layer and window were chosen for."""
    refused: Recipe | None = None
    """The recipe that could not be carried out when the page was last drawn."""
    refusal: str = ""
    """Why it could not."""

    measuring: Recipe | None = None
    """The recipe whose score the page showed when it was last drawn."""

    def forget_heatmap_of_others(self, recipe: Recipe) -> None:
        """With another model or other units, the heatmap begins at its first layer again."""
        of = (recipe.workload, kind_of(recipe.granularity))
        if self.heatmap_of != of:
            self.heatmap_layer, self.heatmap_window, self.heatmap_of = None, None, of


def lab_state() -> LabState:
    return remembered(LabState)
