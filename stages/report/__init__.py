"""Report: baseline and adaptive side by side."""
