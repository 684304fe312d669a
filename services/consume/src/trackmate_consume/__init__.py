"""Consume: reads records, translates them, writes them to a sink and commits."""
