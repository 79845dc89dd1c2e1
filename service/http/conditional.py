"""Conditional requests (RFC 9110 §13): If-Match against lost updates, If-None-Match against sending it all again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from service.http.parameters import HeaderParameter, RefusedHeader
from service.http.problems import Problem

# RFC 9110 §8.8.3. A list of them has commas between, and empty members are to be borne (§5.6.1). Possessive, so that
# no value takes long to refuse.
_ENTITY_TAG = r'(?:W/)?"[\x21\x23-\x7E\x80-\xFF]*+"'
_LIST = re.compile(rf"[ \t,]*+{_ENTITY_TAG}(?:[ \t]*+,[ \t,]*+{_ENTITY_TAG})*+[ \t,]*+")
_LONGEST = 4096
# The same for OpenAPI: ECMA 262 knows no possessive quantifiers.
_ANY_OR_LIST = rf"^(?:[ \t]*\*[ \t]*|{_LIST.pattern})$".replace("*+", "*")


class PreconditionFailed(Problem):
    status = 412
    code = "precondition_failed"

    def __init__(self) -> None:
        super().__init__("The task has changed since: read it again, then decide.")


@dataclass(frozen=True, slots=True)
class EntityTags:
    """What If-Match or If-None-Match lists: `*`, or entity-tags."""

    any: bool
    tags: frozenset[str]

    def strong(self) -> frozenset[str]:
        """Those that the strong comparison (RFC 9110 §8.8.3.2) can match: If-Match has it."""
        return frozenset(tag for tag in self.tags if not tag.startswith("W/"))

    def match_weakly(self, current: str) -> bool:
        """The weak comparison, which If-None-Match has."""
        return self.any or current.removeprefix("W/") in {tag.removeprefix("W/") for tag in self.tags}


def _entity_tags(value: str) -> EntityTags:
    if len(value) > _LONGEST:
        raise RefusedHeader("too_long", f"At most {_LONGEST} characters.")
    if value == "*":
        return EntityTags(any=True, tags=frozenset())
    if not _LIST.fullmatch(value):
        raise RefusedHeader("not_an_etag", "Send what ETag said, with its quotation marks; or *.")
    return EntityTags(any=False, tags=frozenset(re.findall(_ENTITY_TAG, value)))


_SCHEMA = {"type": "string", "maxLength": _LONGEST, "pattern": _ANY_OR_LIST, "examples": ['"5f3a-64a7c0ffee123"']}

IF_MATCH = HeaderParameter(
    "If-Match",
    description="RFC 9110 §13.1.1: change the task only if it still has this ETag; else 412.",
    schema=_SCHEMA,
    parse=_entity_tags,
)
IF_NONE_MATCH = HeaderParameter(
    "If-None-Match",
    description="RFC 9110 §13.1.2: send the answer only if it has another ETag by now; else 304.",
    schema=_SCHEMA,
    parse=_entity_tags,
)


def not_modified(headers: Mapping[str, str]) -> Response:
    """RFC 9110 §15.4.5: the headers of the 200, and no content."""
    return Response(status_code=304, headers=dict(headers))
