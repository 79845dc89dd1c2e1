"""The security team's tools: what is in force in a database, judged by db/access.toml. Imports nothing of service/."""
