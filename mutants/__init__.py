"""The mutation score of the defences: each is weakened on purpose, and the audit and the tests have to notice."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One weakening.

    Args:
        of: what is weakened: a statement of a policy file, a module.
        what: what is otherwise, in a few words; together with `of` it is unique.
        file: the one that changes, from the root of the repository.
        text: what stands in it then.
        by: what the file is written in: `sql` or `python`.
    """

    of: str
    what: str
    file: str
    text: str
    by: str

    @property
    def name(self) -> str:
        """Both in one line."""
        return f"{self.of}: {self.what}"
