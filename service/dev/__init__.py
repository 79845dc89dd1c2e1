"""The embedded default for a fresh machine: a Postgres, an issuer of tokens. `serve` never imports it."""

from pathlib import Path

# Beside the code, so that each checkout has its own.
DEV_FOLDER = Path(__file__).parents[2] / ".dev"


class DevError(Exception):
    """The development set-up cannot go on. Its text is one line that says what to do."""
