"""Threshold: every preprocessed film is split into grey levels."""
