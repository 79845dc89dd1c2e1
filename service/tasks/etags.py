"""Entity-tags (RFC 9110 §8.8.3): which version of a task, or of a list, somebody has."""

import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2s
from typing import Any
from zlib import crc32

from sqlalchemy import Row

from service.http.conditional import EntityTags
from service.tasks.models import TaskRead
from service.tasks.times import from_microseconds, microseconds

# Another shape of the same version is another representation: a release that adds a member changes every tag.
_SHAPE = f"{crc32(','.join(TaskRead.model_fields).encode()):x}"
_OF_TASK = re.compile(rf'"{_SHAPE}-([0-9a-f]{{1,14}})"')


def etag_of(task: Row[Any]) -> str:
    """The strong tag of a task: its `updated_at`, which is later after every change."""
    return f'"{_SHAPE}-{microseconds(task.updated_at):x}"'


def versions(tags: EntityTags) -> list[datetime]:
    """The values of `updated_at` that If-Match lets pass. Tags that no task ever had are left out."""
    found = (_OF_TASK.fullmatch(tag) for tag in tags.strong())
    return [from_microseconds(int(match[1], 16)) for match in found if match]


def etag_of_list(tasks: Sequence[Row[Any]], links: str) -> str:
    """The weak tag of a page: which tasks in which versions and order, and what comes next."""
    digest = blake2s(f"{_SHAPE} {links}".encode(), digest_size=16)
    for task in tasks:
        digest.update(task.id.bytes + microseconds(task.updated_at).to_bytes(8, signed=True))
    return f'W/"{digest.hexdigest()}"'
