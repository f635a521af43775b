"""How a browser is made to keep the visitor's cookie."""

from views.entrance.visitors import COOKIE, KEPT_S


def set_cookie(value: str, encrypted: bool, seconds: int = KEPT_S) -> str:
    """The header that makes a browser keep the cookie, or forget it after 0 seconds."""
    secure = "; Secure" if encrypted else ""
    return f"{COOKIE}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}"
