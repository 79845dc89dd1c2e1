"""Times as whole microseconds, which is what Postgres keeps."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(time: datetime) -> int:
    """Since 1970, exactly: a float would round."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(since_1970: int) -> datetime:
    """The time again, in UTC.

    Raises:
        OverflowError: before year 1 or after year 9999.
    """
    return _EPOCH + since_1970 * _MICROSECOND
