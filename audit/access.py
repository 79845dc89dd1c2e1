"""db/access.toml: who may do what. It is what everything else here is judged by."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

ACCESS_FILE = Path(__file__).parents[1] / "db" / "access.toml"


class AccessError(Exception):
    """The file cannot be understood. Its text is one line for each fault."""


class _Closed(BaseModel):
    # What is misspelt must not pass for what is not granted.
    model_config = ConfigDict(extra="forbid", frozen=True)


class Role(_Closed):
    """A role of this product. It has none of the attributes that could bypass row-level security."""

    login: bool
    settings: dict[str, str] = {}


class Grants(_Closed):
    """What a role may do with a table: which rows it reaches, and which columns by which command."""

    rows: Literal["own", "none"]
    select: tuple[str, ...] = ()
    insert: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    delete: bool = False


class Table(_Closed):
    """A table of schema `app`, and the column that says whose a row is."""

    owner_column: str
    access: dict[str, Grants]


class Access(_Closed):
    """Everything that is allowed: roles, schemas, functions by their signature, tables of schema `app`."""

    roles: dict[str, Role]
    schemas: dict[str, dict[str, tuple[Literal["USAGE"], ...]]]
    functions: dict[str, dict[str, tuple[Literal["EXECUTE"], ...]]]
    tables: Annotated[dict[str, Table], Field(min_length=1)]


def read_access(file: Path = ACCESS_FILE) -> Access:
    """Read the specification.

    Raises:
        AccessError: when the file is not there, is no TOML, or has a key that nobody knows.
    """
    try:
        return Access.model_validate(tomllib.loads(file.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AccessError(f"{file}: {error}") from None
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise AccessError("\n".join(f"{file}: {fault}" for fault in faults)) from None
