"""Evaluate: pixel metrics of one trained model on the test set."""
