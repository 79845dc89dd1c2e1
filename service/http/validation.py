"""What is wrong with a value: pydantic's errors in words that repeat nothing of the request."""

from typing import Any, get_args

from fastapi.exceptions import RequestValidationError
from pydantic_core.core_schema import ErrorType
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.http.body import malformed_json
from service.http.problems import FieldError, InvalidRequest, problem_response


async def from_fastapi(request: Request, error: Exception) -> Response:
    """FastAPI's exception handler for what FastAPI itself raises. Whatever it is not meant to raise is a 500."""
    if isinstance(error, RequestValidationError):
        return problem_response(request.scope, InvalidRequest(errors=map(_field_error, error.errors())))
    if isinstance(error, HTTPException) and error.status_code == 400:
        # FastAPI reads the JSON again, deeper in the stack, where a nesting may be too deep that was not before.
        return problem_response(request.scope, malformed_json("It is nested too deep."))
    raise error


# pydantic's type of error: our code, and a sentence that quotes no input, which pydantic's own may do.
_PYDANTICS_OWN = frozenset(get_args(ErrorType))
_NOT_A_TIME = "There is no such time."
_FIELD_ERRORS = {
    "missing": ("required", "This is required."),
    "extra_forbidden": ("unknown", "There is a {kind} here that this operation does not know."),
    "string_type": ("wrong_type", "A string is expected."),
    "string_unicode": ("not_unicode", "A lone surrogate is not text."),
    "string_too_short": ("too_short", "At least {min_length} character."),
    "string_too_long": ("too_long", "At most {max_length} characters."),
    "literal_error": ("not_allowed", "Expected is {expected}."),
    "enum": ("not_allowed", "Expected is {expected}."),
    "uuid_parsing": ("not_a_uuid", "A UUID is expected, such as 01890a5d-ac96-774b-bcce-b302099a8057."),
    "int_type": ("wrong_type", "A whole number is expected."),
    "int_parsing": ("wrong_type", "A whole number is expected."),
    "greater_than_equal": ("too_small", "At least {ge}."),
    "less_than_equal": ("too_large", "At most {le}."),
    "too_long": ("too_long", "At most {max_length} values."),
    "datetime_from_date_parsing": ("not_a_time", _NOT_A_TIME),
    "datetime_parsing": ("not_a_time", _NOT_A_TIME),
    "int_parsing_size": ("too_large", "This number is too large."),
    "model_attributes_type": ("wrong_type", "A JSON object is expected."),
    "model_type": ("wrong_type", "A JSON object is expected."),
}


def _field_error(error: Any) -> FieldError:
    kind = error["type"]
    if kind in _PYDANTICS_OWN:
        code, detail = _FIELD_ERRORS.get(kind, ("invalid", "This value is not valid."))
    else:
        code, detail = kind, error["msg"]  # a PydanticCustomError of this product
    place, *path = error["loc"]
    if kind == "extra_forbidden":
        path = path[:-1]  # its name is the client's own input
    steps = path if place == "body" else [place, *path]
    pointer = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)
    words = {"kind": "member" if place == "body" else "parameter"} | error.get("ctx", {})
    return FieldError(pointer=pointer, code=code, detail=detail.format_map(words))
