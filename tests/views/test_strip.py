"""The strip: what it is made of, and how the browser finds it again."""

import re
from pathlib import Path

from views.gallery import lab as gallery
from views.shared import strip

VIEWS = Path(__file__).parents[2] / "views"


def test_a_style_outside_components_does_not_count_on_the_themes_variables() -> None:
    """Streamlit declares them for components alone: what has only them would have no colour."""
    for file in VIEWS.rglob("*.py"):
        assert not re.findall(r"var\(--st-[\w-]+\)", file.read_text(encoding="utf-8")), file


def test_the_bar_says_how_much_was_seen_and_a_line_of_text_is_escaped() -> None:
    model = gallery.model(gallery.ROWS)
    half = strip.Tile("score", "91 %", ("note",), 0.5)
    made = strip.html([half, *strip.sizes(model, gallery.HALF, None)], "a < b")
    assert 'style="width:50%"' in made and made.endswith('<div class="line">a &lt; b&nbsp;</div>')
    assert "line" not in strip.html([half]) and 'class="line"' in strip.html([half], "")
