"""The domain: what a task is, and what can be done with it. Nothing here knows of users."""
