"""What the gallery is made of: component -> state -> how it is drawn, given a key for what Streamlit draws in it."""

from collections.abc import Callable, Mapping

Draw = Callable[[str], None]
States = Mapping[str, Mapping[str, Draw]]

LONG = "encoder.blocks.11.attention.self.query_key_value_projection.parametrizations.weight"
LONG_WORDS = "half of all channels, taylor of order two, three rounds and a longer cool-down, the second try of Tuesday"
