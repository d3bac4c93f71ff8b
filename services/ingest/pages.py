"""What a browser gets from the door: the widget's script, and a page to try it on."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from jinja2 import Environment, StrictUndefined, select_autoescape

from schemas.responses import TEAM_PATTERN

_STATIC: Final = files("services.ingest") / "static"
_PAGES: Final = Environment(autoescape=select_autoescape(default=True), undefined=StrictUndefined)
_NO_SNIFF: Final = {"X-Content-Type-Options": "nosniff"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ASSETS: Final = {"widget.js": "text/javascript", "demo.css": "text/css", "favicon.svg": "image/svg+xml"}


def router(widget_key: str) -> APIRouter:
    """The routes. `widget_key` is public by design: it stands in the page's source."""
    routes = APIRouter(tags=["widget"])
    page = _PAGES.from_string((_STATIC / "demo.html").read_text(encoding="utf-8"))

    def serve(name: str, media_type: str) -> None:
        content = (_STATIC / name).read_bytes()
        # Another site may load the widget's script: that is what it is for.
        headers = {**_NO_SNIFF, "Cache-Control": "max-age=300", "Cross-Origin-Resource-Policy": "cross-origin"}

        @routes.get(f"/{name}", summary=f"Static file {name}", response_class=Response, operation_id=name)
        async def asset() -> Response:
            return Response(content, media_type=media_type, headers=headers)

    for name, media_type in _ASSETS.items():
        serve(name, media_type)

    @routes.get("/demo", summary="A page with the widget on it", response_class=Response)
    async def demo(
        team: Annotated[str, Query(pattern=TEAM_PATTERN, description="the team that answers go to")] = "demo",
        locale: Annotated[str, Query(max_length=35, pattern=r"^[A-Za-z0-9-]*$")] = "",
    ) -> Response:
        html = page.render(team=team, locale=locale, key=widget_key)
        headers = {
            **_NO_SNIFF,
            "Content-Security-Policy": _POLICY,
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        return Response(html, media_type="text/html", headers=headers)

    return routes
