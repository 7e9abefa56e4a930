"""Ingest: films and boxes from every source, checked, pseudonymous, in one manifest."""
