"""Fetch: bring what the pipeline needs from elsewhere, pinned by hash. The pipeline itself fetches nothing."""
