"""Every text of the page goes through `_()`. A catalogue in `views/locale`, once there is one, translates it."""

import gettext
import re
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

import streamlit as st

CATALOGUES = Path(__file__).parents[1] / "locale"
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_set: ContextVar[str | None] = ContextVar("language", default=None)


def _(text: str) -> str:
    """The text in the reader's language, or as it is where no catalogue has it."""
    return catalogue(reader()).gettext(text)


def reader() -> str | None:
    """The language of whoever reads what is written now; None where nobody has said it."""
    return _set.get() or st.context.locale


@contextmanager
def in_language(locale: str | None) -> Generator[None]:
    """Write in this language where no page is being drawn, which would know its reader."""
    before = _set.set(locale or "en")
    try:
        yield
    finally:
        _set.reset(before)


def catalogue(locale: str | None) -> gettext.NullTranslations:
    """The texts of a language, by a tag such as `de-AT`. What a browser says is not believed to be one."""
    return _catalogue(locale if locale is not None and _TAG.fullmatch(locale) else "en")


@lru_cache(maxsize=100)
def _catalogue(locale: str) -> gettext.NullTranslations:
    return gettext.translation("pages", CATALOGUES, [locale.replace("-", "_"), locale.split("-")[0]], fallback=True)
