"""Every text of the page goes through `_()`. A catalogue in `views/locale`, once there is one, translates it."""

import gettext
from functools import cache
from pathlib import Path

import streamlit as st

CATALOGUES = Path(__file__).parents[1] / "locale"


def _(text: str) -> str:
    """The text in the reader's language, or as it is where no catalogue has it."""
    return _catalogue(st.context.locale or "en").gettext(text)


@cache
def _catalogue(locale: str) -> gettext.NullTranslations:
    return gettext.translation("pages", CATALOGUES, [locale.replace("-", "_"), locale.split("-")[0]], fallback=True)
