"""Files, parameters, processes and the shell of a stage: nothing here knows what a film is."""
