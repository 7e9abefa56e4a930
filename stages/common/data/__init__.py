"""What the pipeline's files mean: layout, geometry, shapes, data set, run id."""
