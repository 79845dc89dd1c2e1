"""One request, one transaction, one user."""
