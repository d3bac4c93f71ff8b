"""What a browser gets from the door: the widget's script, a page to try it on, and the API's description."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from jinja2 import Environment, StrictUndefined, select_autoescape

from schemas.responses import TEAM_PATTERN
from services.common import docs

_STATIC: Final = files("services.ingest") / "static"
_PAGES: Final = Environment(autoescape=select_autoescape(default=True), undefined=StrictUndefined)
_NO_SNIFF: Final = {"X-Content-Type-Options": "nosniff"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KEYS: Final = "a write or import key, for commands an admin key; the widget sends its own"
_ASSETS: Final = {
    "widget.js": ("text/javascript", (_STATIC / "widget.js").read_bytes()),
    "demo.css": ("text/css", (_STATIC / "demo.css").read_bytes()),
    "favicon.svg": ("image/svg+xml", (_STATIC / "favicon.svg").read_bytes()),
    "base.css": ("text/css", docs.STYLE),
}


def router(widget_key: str) -> APIRouter:
    """The routes. `widget_key` is public by design: it stands in the page's source."""
    routes = APIRouter(tags=["widget"])
    page = _PAGES.from_string((_STATIC / "demo.html").read_text(encoding="utf-8"))

    def serve(name: str, media_type: str, content: bytes) -> None:
        # Another site may load the widget's script: that is what it is for.
        headers = {**_NO_SNIFF, "Cache-Control": "max-age=300", "Cross-Origin-Resource-Policy": "cross-origin"}

        @routes.get(f"/{name}", summary=f"Static file {name}", response_class=Response, operation_id=name)
        async def asset() -> Response:
            return Response(content, media_type=media_type, headers=headers)

    for name, (media_type, content) in _ASSETS.items():
        serve(name, media_type, content)

    @routes.get("/demo", summary="A page with the widget on it", response_class=Response)
    async def demo(
        team: Annotated[str, Query(pattern=TEAM_PATTERN, description="the team that answers go to")] = "demo",
        locale: Annotated[str, Query(max_length=35, pattern=r"^[A-Za-z0-9-]*$")] = "",
    ) -> Response:
        return _html(page.render(team=team, locale=locale, key=widget_key))

    @routes.get("/docs", include_in_schema=False)
    async def describe(request: Request) -> Response:
        return _html(
            docs.render(request.app.openapi(), home="/demo", style="/base.css", icon="/favicon.svg", keys=_KEYS)
        )

    return routes


def _html(page: str) -> Response:
    headers = {
        **_NO_SNIFF,
        "Content-Security-Policy": _POLICY,
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return Response(page, media_type="text/html", headers=headers)
