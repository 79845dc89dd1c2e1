"""A multi-tenant Todo API whose isolation Postgres enforces."""
