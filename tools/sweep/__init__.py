"""Sweep: many trainings under other weights, each a DVC experiment. A tool on top of the pipeline, no stage of it."""
