"""Lineage: from any number back to its file, and whether what is here is what was run. A tool, no stage."""
