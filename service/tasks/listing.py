"""Which part of the list is asked for."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


def _plain(value: Any) -> Any:
    """Digits, and nothing else that Python would take for a number: 1_0, 1.0, a space."""
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]+", value):
        raise PydanticCustomError("wrong_type", "A whole number is expected.")
    return value


WholeNumber = Annotated[int, BeforeValidator(_plain)]


class ListTasks(BaseModel):
    """The query of GET /tasks. A parameter that is not here is refused."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[WholeNumber, Field(ge=1, le=200, description="The most tasks to return.")] = 100
    skip: Annotated[WholeNumber, Field(ge=0, le=2**31 - 1, description="How many of the newest to leave out.")] = 0
