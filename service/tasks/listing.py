"""Which part of the list is asked for."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ListTasks(BaseModel):
    """The query of GET /tasks. A parameter that is not here is refused."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200, description="The most tasks to return.")] = 100
    skip: Annotated[int, Field(ge=0, le=2**31 - 1, description="How many of the newest to leave out.")] = 0
