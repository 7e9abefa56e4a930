"""The pipeline: one folder per DVC stage, in the order in which data flows through them."""
