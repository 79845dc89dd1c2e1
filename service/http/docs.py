"""GET /docs: Swagger UI, served from here and nowhere else, and held to that by a Content-Security-Policy."""

from functools import cache
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

_ASSETS = Path(fastapi_offline.__file__).parent / "static"

# Scripts and styles from files of this origin alone; it talks to this origin alone; nobody frames it.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer"}

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Todo API</title>
<link rel="icon" href="/docs/favicon.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """\
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: "none",
});
"""

router = APIRouter(prefix="/docs", include_in_schema=False)


@router.get("")
async def docs() -> HTMLResponse:
    """The page. Authorize takes a token, which stays in the browser until the page is closed."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


@router.get("/start.js")
async def start() -> Response:
    return Response(_START, media_type="text/javascript")


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
