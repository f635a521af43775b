"""The page that asks for the password. It needs no script, and nothing that lies behind the door."""

import math
from collections.abc import Callable
from html import escape
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope

from pruning.reporting.palette import DARK, LIGHT, css_variables
from views.entrance.cookies import set_cookie
from views.entrance.tries import Tries
from views.entrance.visitors import COOKIE, KEPT_S, Visitors
from views.shared.language import catalogue

Translated = Callable[[str], str]

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
LONGEST_FORM = 10_000
STYLE = f"""
:root {{ {css_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {css_variables(DARK)} }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); }}
body {{ margin: 0 auto; max-width: 22rem; padding: 18vh 1.5rem 0; }}
h1 {{ font-size: 1.15rem; margin: 0 0 1.5rem; }}
label, input, button {{ display: block; width: 100%; box-sizing: border-box; font: inherit; }}
input {{ margin: .3rem 0 1rem; padding: .5rem .6rem; border: 1px solid var(--soft); border-radius: 6px; }}
input {{ color: inherit; background: inherit; }}
button {{ padding: .5rem; border: 0; border-radius: 6px; background: var(--accent); color: var(--ground); cursor: pointer; }}
:focus-visible {{ outline: 2px solid var(--accent); outline-offset: 2px; }}
p[role=alert] {{ border-left: 3px solid var(--bad); padding-left: .7rem; }}
"""


async def answer(
    scope: Scope, receive: Receive, visitors: Visitors, tries: Tries, address: str, encrypted: bool
) -> Response:
    """What a request for one of the two pages gets."""
    request = Request(scope, receive)
    _ = _language(request)
    if request.method not in ("GET", "HEAD", "POST"):
        return HTMLResponse("", 405)
    if request.method != "POST":
        after = _own_path(request.query_params.get("next", ""))
        return page(_, after) if scope["path"] == SIGN_IN else _leaving(_)
    if _from_elsewhere(request):
        return page(_, "/", _("This form was sent by another site. Type the password here."), 403)
    said = await _form(request)
    after = _own_path(said.get("next", ""))
    if scope["path"] == SIGN_OUT:
        return _with_cookie(RedirectResponse(SIGN_IN, 303), "", encrypted, 0)
    if wait := tries.wait_s(address):
        words = _("There were too many wrong passwords from your address. Try again in {n} s.")
        return page(_, after, words.format(n=math.ceil(wait)), 429)
    if not visitors.right(password := said.get("password", "")):
        tries.wrong(address)
        return page(_, after, _("This is not the password. Ask whoever gave you the address of this page."), 403)
    cookie = visitors.cookie(request.cookies.get(COOKIE, ""), password)
    return _with_cookie(RedirectResponse(after, 303), cookie, encrypted, KEPT_S)


def to_sign_in(connection: HTTPConnection) -> Response:
    """The way from a page that somebody may not see yet to the question, and back to it afterwards."""
    query = connection.scope["query_string"].decode("latin-1")
    wanted = connection.scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"{SIGN_IN}?next={quote(wanted, safe='')}", 303)


def page(_: Translated, after: str, problem: str = "", status: int = 200) -> HTMLResponse:
    """The form, with a sentence on what went wrong before."""
    said = f"<p role='alert'>{escape(problem)}</p>" if problem else ""
    form = (
        f"<form method='post' action='{SIGN_IN}'><input type='hidden' name='next' value='{escape(after)}'>"
        f"<label for='password'>{escape(_('Class code or password'))}</label>"
        "<input id='password' name='password' type='password' autocomplete='current-password' required autofocus>"
        f"<button>{escape(_('Come in'))}</button></form>"
    )
    return _html(_, said + form, status)


def _leaving(_: Translated) -> HTMLResponse:
    words = _("This browser forgets who it is. Runs that were started here stay, and are nobody's.")
    form = f"<form method='post' action='{SIGN_OUT}'><button>{escape(_('Sign out'))}</button></form>"
    return _html(_, f"<p>{escape(words)}</p>{form}", 200)


def _html(_: Translated, body: str, status: int) -> HTMLResponse:
    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Pruning Explorer</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<link rel='icon' href='data:,'>"  # or the browser asks for one that lies behind the door
        f"<style>{STYLE}</style></head><body><main><h1>Pruning Explorer</h1>"
    )
    return HTMLResponse(f"{head}{body}</main></body></html>", status, {"cache-control": "no-store"})


def _language(request: Request) -> Translated:
    """Of the language that the browser names first."""
    first = request.headers.get("accept-language", "").partition(",")[0].partition(";")[0].strip()
    return catalogue(first).gettext


def _own_path(wanted: str) -> str:
    """A page of this server, or its first: what a link says comes after signing in may lead elsewhere."""
    plain = wanted.isprintable() and "\\" not in wanted and not wanted.startswith("//")
    inside = wanted.startswith("/") and not wanted.startswith((SIGN_IN, SIGN_OUT))
    return wanted if plain and inside and len(wanted) < LONGEST_FORM else "/"


def _from_elsewhere(request: Request) -> bool:
    """Whether another site's page sent the form, as browsers say."""
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    return origin not in (None, "null") and urlsplit(str(origin)).netloc != request.headers.get("host")


async def _form(request: Request) -> dict[str, str]:
    """The fields of the form; {} where it is no form, or longer than one."""
    found = b""
    try:
        async for part in request.stream():
            found += part
            if len(found) > LONGEST_FORM:
                return {}
    except ClientDisconnect:
        return {}
    try:
        fields = parse_qs(found.decode("utf-8"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}


def _with_cookie(response: Response, value: str, encrypted: bool, seconds: int) -> Response:
    response.headers.append("set-cookie", set_cookie(value, encrypted, seconds))
    response.headers["cache-control"] = "no-store"
    return response
