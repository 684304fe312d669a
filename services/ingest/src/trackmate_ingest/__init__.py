"""Ingest: takes events over HTTP and answers 200 once every one of them is stored."""
