"""Who is asking. Knows nothing of the database."""
