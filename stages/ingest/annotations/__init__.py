"""Readers of annotation formats, and which annotation belongs to which film."""
