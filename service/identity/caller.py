"""The caller: whoever a valid token speaks for."""

import re
from dataclasses import dataclass

# Printable ASCII without ' and \, so that an id is safe inside an SQL literal by construction.
_USER_ID = re.compile(r"[ !-&(-\[\]-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified user.

    Args:
        user_id: the token's `sub`, 1 to 255 printable ASCII characters other than `'` and `\\`.

    Raises:
        ValueError: when `user_id` is anything else.
    """

    user_id: str

    def __post_init__(self) -> None:
        if not _USER_ID.fullmatch(self.user_id):
            raise ValueError("a user id is 1 to 255 printable ASCII characters other than ' and \\")
