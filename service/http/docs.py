"""GET /docs: Swagger UI, served from here and from nowhere else."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse

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


@router.get("/swagger-ui-bundle.js")
async def script() -> FileResponse:
    return FileResponse(_ASSETS / "swagger-ui-bundle.js")


@router.get("/swagger-ui.css")
async def style() -> FileResponse:
    return FileResponse(_ASSETS / "swagger-ui.css")


@router.get("/favicon.png")
async def icon() -> FileResponse:
    return FileResponse(_ASSETS / "favicon.png")
