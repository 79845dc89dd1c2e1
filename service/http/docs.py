"""GET /docs: Swagger UI, served from here and from nowhere else."""

from functools import cache
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response

_ASSETS = Path(fastapi_offline.__file__).parent / "static"

router = APIRouter(prefix="/docs", include_in_schema=False)


@router.get("")
async def docs() -> HTMLResponse:
    """The page. Authorize takes a token, which stays in the browser until the page is closed."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Todo API",
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon.png",
    )


@cache
def _asset(name: str, media_type: str) -> Response:
    """Read once. A FileResponse would answer a Range, and refuse one in its own words."""
    return Response((_ASSETS / name).read_bytes(), media_type=media_type)


@router.get("/swagger-ui-bundle.js")
async def script() -> Response:
    return _asset("swagger-ui-bundle.js", "text/javascript")


@router.get("/swagger-ui.css")
async def style() -> Response:
    return _asset("swagger-ui.css", "text/css")


@router.get("/favicon.png")
async def icon() -> Response:
    return _asset("favicon.png", "image/png")
