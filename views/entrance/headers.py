"""What the answers forbid browsers to do with a page."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders

_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def protect(headers: MutableHeaders) -> None:
    """Add what every answer says."""
    headers["content-security-policy"] = policy()
    headers["x-content-type-options"] = "nosniff"
    headers["x-frame-options"] = "DENY"  # for browsers that do not know frame-ancestors
    headers["referrer-policy"] = "no-referrer"  # an address holds the recipe, and the run
    headers["cross-origin-opener-policy"] = "same-origin"
    headers["cross-origin-resource-policy"] = "same-origin"
    headers["permissions-policy"] = "camera=(), microphone=(), geolocation=(), usb=(), payment=()"


@cache
def policy() -> str:
    """Where a page's parts may come from: this server alone.

    Streamlit needs styles in elements, and loads the scripts of components from addresses of `blob:`; Vega compiles
    what a chart says to scripts.
    """
    rules = {
        "default-src": "'self'",
        "script-src": f"'self' blob: 'unsafe-eval' {' '.join(_own_scripts())}",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-src": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {places}".rstrip() for name, places in rules.items())


def _own_scripts() -> list[str]:
    """The hashes of the scripts that Streamlit's page has in itself."""
    index = Path(streamlit.__file__).parent / "static" / "index.html"
    texts: list[str] = _INLINE.findall(index.read_text(encoding="utf-8"))
    return [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]
