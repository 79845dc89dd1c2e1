"""A connection for an audit, from a URL as Neon and libpq write it."""

import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import asyncpg

from audit.finding import CannotLook

# A compute of Neon that sleeps takes seconds to wake.
_CONNECT_SECONDS = 10
_COMMAND_SECONDS = 60


@dataclass(frozen=True, slots=True)
class _Place:
    """A URL in its parts, and how it is to be encrypted."""

    split: SplitResult
    rest: dict[str, str]
    host: str
    sslmode: str | None
    sslrootcert: str | None

    @property
    def local(self) -> bool:
        return self.socket or self.host in ("localhost", "127.0.0.1", "::1")

    @property
    def socket(self) -> bool:
        return self.host == "" or self.host.startswith("/")

    @property
    def verified(self) -> bool:
        """libpq's `require` checks no certificate, so it means verify-full wherever there is a way to be in between."""
        return self.sslmode == "verify-full" or (not self.local and self.sslmode != "disable")

    def url(self, **parameters: str) -> str:
        return f"postgresql://{self.split.netloc}{self.split.path}?{urlencode({**self.rest, **parameters})}"


async def connect(url: str) -> asyncpg.Connection:
    """Connect, through PgBouncer in transaction mode as well.

    Args:
        url: postgres:// or postgresql://. `sslmode=require` means verify-full, unless the server is on this machine.

    Raises:
        CannotLook: when the URL cannot be understood, or the database not be reached.
    """
    place = _place(url)
    try:
        return await asyncpg.connect(
            place.url(),
            ssl=_tls(place),
            timeout=_CONNECT_SECONDS,
            command_timeout=_COMMAND_SECONDS,
            statement_cache_size=0,  # the pooler may give each transaction another server
        )
    except TimeoutError:
        raise CannotLook(f"the database does not answer within {_CONNECT_SECONDS} s") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        raise cannot_look(error, url) from None


def cannot_look(error: Exception, url: str) -> CannotLook:
    """An error in one line, without the password of the URL."""
    said = " ".join(str(error).split())
    for secret in {password for password in _passwords(url) if password}:
        said = said.replace(secret, "***")
    return CannotLook(f"the database cannot be looked at: {type(error).__name__}: {said}")


def libpq_environment(url: str) -> dict[str, str]:
    """What a program that reads DATABASE_URL and uses libpq needs, in order to connect as `connect` does.

    Raises:
        CannotLook: when the URL cannot be understood.
    """
    place = _place(url)
    if not place.verified:
        return {"DATABASE_URL": place.url(**({"sslmode": place.sslmode} if place.sslmode else {}))}
    # A libpq from a wheel looks for certificates where it was built.
    paths = ssl.get_default_verify_paths()
    known = {"SSL_CERT_FILE": paths.cafile, "SSL_CERT_DIR": paths.capath}
    return {
        "DATABASE_URL": place.url(sslmode="verify-full", sslrootcert=place.sslrootcert or "system"),
        **{name: path for name, path in known.items() if path},
    }


def _place(url: str) -> _Place:
    try:
        split = urlsplit(url)
        query = dict(parse_qsl(split.query, strict_parsing=bool(split.query)))
        # Whoever wrote a password with one of these unencoded finds a part of it elsewhere.
        if split.scheme not in ("postgres", "postgresql") or split.fragment or (split.port or 1) < 1:
            raise ValueError
    except ValueError:
        raise CannotLook("write the URL as postgresql://ROLE:PASSWORD@HOST/DATABASE, percent-encoded") from None
    # asyncpg knows no channel binding. With a verified certificate, nobody is in between to bind against.
    query.pop("channel_binding", None)
    sslmode, sslrootcert = query.pop("sslmode", None), query.pop("sslrootcert", None)
    if sslmode not in (None, "disable", "require", "verify-full"):
        raise CannotLook(f"sslmode={sslmode} checks too little: write sslmode=verify-full")
    return _Place(split, query, query.get("host") or unquote(split.hostname or ""), sslmode, sslrootcert)


def _tls(place: _Place) -> ssl.SSLContext | str | bool:
    if place.socket or not place.verified:
        return "require" if place.sslmode == "require" and not place.socket else False
    try:
        return ssl.create_default_context(cafile=None if place.sslrootcert == "system" else place.sslrootcert)
    except OSError:
        raise CannotLook(f"sslrootcert={place.sslrootcert} cannot be read") from None


def _passwords(url: str) -> set[str]:
    try:
        split = urlsplit(url)
    except ValueError:
        return set()
    written = {split.password or "", dict(parse_qsl(split.query)).get("password", "")}
    return written | {unquote(password) for password in written}
