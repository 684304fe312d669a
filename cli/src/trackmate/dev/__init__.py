"""`trackmate dev`: all of Trackmate in one process, following a folder of YAML."""
