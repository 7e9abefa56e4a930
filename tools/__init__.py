"""Programs on top of what the pipeline wrote: predict, sweep, audit, doctor."""
