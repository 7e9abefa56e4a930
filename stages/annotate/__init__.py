"""Annotate: boxes become masks, and films become a leak-free train and test set."""
