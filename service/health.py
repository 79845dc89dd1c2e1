"""GET /livez and /readyz, for whoever keeps the service running. They need no token, and tell hardly a detail."""

import logging
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from service.database.errors import DatabaseUnavailable
from service.database.guard import Readiness
from service.http.openapi import answers, refusals
from service.http.problems import Problem
from service.identity.keys import Keys, KeysUnavailable

log = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The service is well."""

    status: Literal["ok"]


class Ready(Health):
    """The service is well, and so is what it depends on."""

    keys_age_seconds: Annotated[int, Field(ge=0, le=7 * 24 * 3600, json_schema_extra={"format": "int32"})] | None = (
        Field(
            description="Since the keys that tokens are checked with were fetched; null when they are not fetched.",
            examples=[42],
        )
    )


class NotReady(Problem):
    status = 503
    code = "not_ready"

    def __init__(self) -> None:
        super().__init__("The database would not keep users apart; the service's log says why.")
        self.headers = {"Retry-After": "10"}


@router.get("/livez", summary="Does the process answer?", operation_id="getLiveness", responses=answers(200))
async def livez() -> Health:
    """Whether the process answers."""
    return Health(status="ok")


@router.get(
    "/readyz",
    summary="Does the database answer, and keep users apart? Are there keys to check tokens with?",
    operation_id="getReadiness",
    responses=answers(200)
    | refusals(NotReady(), DatabaseUnavailable("The database cannot be reached."), KeysUnavailable()),
)
async def readyz(request: Request) -> Ready:
    """Whether the database answers, and keeps users apart, and how old the keys are that tokens are checked with."""
    readiness: Readiness = request.app.state.readiness
    faults = await readiness.faults()
    if faults:
        for fault in faults:
            log.error("not ready: %s", fault)
        raise NotReady
    keys: Keys = request.app.state.keys
    age = keys.age()
    return Ready(status="ok", keys_age_seconds=None if age is None else int(age))
