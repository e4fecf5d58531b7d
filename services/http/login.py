"""A key for the page: asked for once, kept in a cookie that no script can read and no other site can send."""

from __future__ import annotations

import html
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.http.gate import COOKIE, LOGIN, Gate

router = APIRouter(include_in_schema=False)

_KEPT_S: Final = 30 * 24 * 3600
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>avatar328: key</title>
<link rel="stylesheet" href="/static/style.css">
<link rel="stylesheet" href="/static/login.css">
<main class="login">
  <h1>This server asks for a key</h1>
  <form method="post" action="/login">
    <label for="key">Key</label>
    <input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
    <p role="alert">{why}</p>
    <button type="submit" class="primary">Continue</button>
  </form>
</main>
</html>
"""


@router.get(LOGIN)
def ask() -> HTMLResponse:
    """The form."""
    return _form("", 200)


@router.post(LOGIN)
def take(request: Request, key: Annotated[str, Form(max_length=512)]) -> Response:
    """Keep the key for the page, if it is one."""
    gate: Gate | None = request.app.state.gate
    if gate is not None and not gate.knows(key):
        return _form("That is no key of this server, or not any more.", 401)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE, key, max_age=_KEPT_S, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return answer


def _form(why: str, status: int) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(why=html.escape(why)), status, headers={"Cache-Control": "no-store"})
