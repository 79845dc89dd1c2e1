"""What every response obeys, one concern a file."""
