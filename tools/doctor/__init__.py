"""Doctor: what this machine will do with the pipeline, before it does it. A tool, no stage of the pipeline."""
