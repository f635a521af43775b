"""Forms from dataclasses: a control for each field by its type and range, its docstring as help. Nothing is written twice."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin

import streamlit as st

from pruning.options.constraints import Between, field_types, ranges
from pruning.options.docstrings import field_docs, first_paragraph
from pruning.recipe.catalog import kind_of
from views.shared.language import _

FEW = 4  # so many choices fit side by side
SHORT = 19  # letters that they may have together


@dataclass(frozen=True)
class DynamicOptions:
    """What is only known while the page is open: by field, the ends of a slider and the names to choose from."""

    ranges: Mapping[str, Between] = field(default_factory=dict[str, Between])
    options: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])


def load(choice: str, table: Mapping[str, type[Any]], value: Any) -> None:
    """Set the controls of a choice, such as `criterion`, to the value; those of the other kinds to their defaults."""
    st.session_state[choice] = kind_of(value)
    for kind, made in table.items():
        load_fields(f"{choice}.{kind}", value if type(value) is made else made())


def load_fields(prefix: str, value: Any) -> None:
    """Set the controls of a dataclass' fields to what the value says."""
    for f in _drawn(type(value)):
        number = getattr(value, f)
        limits = ranges(type(value)).get(f)
        st.session_state[f"{prefix}.{f}"] = round(100 * number, 4) if _is_share(limits) else number


def hold(*choices: str) -> None:
    """Keep the values of controls that are not drawn this time; Streamlit would forget them."""
    # all at once: to go through the state of a session takes Streamlit a millisecond
    held = [key for key in st.session_state if str(key).partition(".")[0] in choices]
    for key in held:
        st.session_state[key] = st.session_state[key]


def choose(choice: str, kinds: Sequence[str], made: Mapping[str, type[Any]], help: str, **events: Any) -> type[Any]:
    """The control that picks a kind: side by side where they are few, else a list. `events` are its callbacks."""
    about = f"{help} {first_paragraph(made[st.session_state[choice]])}"
    _pick(_(choice), kinds, choice, about, **events)
    return made[st.session_state[choice]]


def draw(prefix: str, made: type[Any], known: DynamicOptions | None = None, only: Sequence[str] | None = None) -> None:
    """A control for each field of the dataclass, one under the other, or `only` for those named."""
    known = known or DynamicOptions()
    hints, docs = field_types(made), field_docs(made)
    limits = {**ranges(made), **known.ranges}
    for f in only or _drawn(made):
        label, help = _(f.replace("_", " ")), _(docs.get(f, ""))
        share = _is_share(ranges(made).get(f))  # and not of what is known only now: a threshold is no share
        if get_origin(hints[f]) is Literal or f in known.options:
            _pick(label, known.options.get(f, get_args(hints[f])), f"{prefix}.{f}", help)
        elif f in limits:
            default = None if _may_be_left_out(made, f) else _default(made, f)
            _control(f"{prefix}.{f}", label, help, hints[f], limits[f], share, default)
        elif hints[f] is bool:
            st.checkbox(label, key=f"{prefix}.{f}", help=help)
        else:
            (st.text_input if hints[f] is str else st.number_input)(label, key=f"{prefix}.{f}", help=help)


def read(prefix: str, made: type[Any]) -> Any:
    """The dataclass that the controls say. RecipeError if they do not fit together."""
    limits = ranges(made)
    values: dict[str, Any] = {}
    for f in _drawn(made):
        value = st.session_state[f"{prefix}.{f}"]
        if value is None:  # the box is empty: what it says in grey
            values[f] = None if _may_be_left_out(made, f) else _default(made, f)
        else:
            values[f] = round(value / 100, 6) if _is_share(limits.get(f)) else value
    return made(**values)


def _may_be_left_out(made: type[Any], name: str) -> bool:
    """Whether the field takes null: an empty box is then no number, whatever the default."""
    return type(None) in get_args(field_types(made)[name])


def _default(made: type[Any], name: str) -> Any:
    return next(f.default for f in fields(made) if f.name == name)


def _drawn(made: type[Any]) -> list[str]:
    """The fields that a control can say: a mapping, or a choice within a choice, has its own place on the page."""
    hints = field_types(made)
    return [f.name for f in fields(made) if _plain(hints[f.name])]


def _plain(hint: Any) -> bool:
    return get_origin(hint) is Literal or hint in (int, float, str, bool) or type(None) in get_args(hint)


def _is_share(limits: Between | None) -> bool:
    """Shares of 1 are shown in percent."""
    return limits is not None and limits.step is not None and limits.low >= 0.0 and limits.high <= 1.0


def _control(key: str, label: str, help: str, hint: Any, limits: Between, share: bool, default: Any) -> None:
    """A slider where the range has a step, else a box; a box too where the number may be left out."""
    fraction = float in (hint, *get_args(hint))
    if share:
        low, high, step = 100 * limits.low, 100 * limits.high, 100 * (limits.step or 0.01)
        st.slider(label, low, high, step=step, key=key, format=f"%.{1 if step < 1 else 0}f %%", help=help)
    elif hint is float and limits.step is not None and not limits.above:
        decimals = min(max(0, 1 - math.floor(math.log10(limits.step))), 12)
        st.slider(label, limits.low, limits.high, step=limits.step, key=key, format=f"%.{decimals}f", help=help)
    elif fraction:
        low = math.nextafter(limits.low, limits.high) if limits.above else limits.low
        step = limits.step or (limits.high - limits.low) / 1000
        st.number_input(
            label, low, float(limits.high), value=None, step=step, format="%g", key=key, help=help,
            placeholder=_in_an_empty_box(limits, default),
        )  # fmt: skip
    else:
        st.number_input(
            label, int(limits.low), int(limits.high), value=None, step=int(limits.step or 1), key=key, help=help,
            placeholder=_in_an_empty_box(limits, default),
        )  # fmt: skip


def _in_an_empty_box(limits: Between, default: Any) -> str:
    """What stands in grey where nothing is given."""
    return _(limits.empty or "by itself") if default is None else str(default)


def _pick(label: str, options: Sequence[Any], key: str, help: str, **events: Any) -> None:
    """One of a few options side by side, or of many in a list."""
    written = {option: str(option).replace("_", " ") for option in options}
    if st.session_state.get(key) not in options:
        st.session_state[key] = options[0]
    if len(options) <= FEW and sum(map(len, written.values())) <= SHORT:
        st.segmented_control(
            label, options, key=key, required=True, help=help, format_func=written.__getitem__, **events
        )
    else:
        st.selectbox(label, options, key=key, help=help, format_func=written.__getitem__, **events)
