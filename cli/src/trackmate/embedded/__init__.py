"""The embedded log and store: one SQLite file an affiliate, for laptops, tests and small sites."""
