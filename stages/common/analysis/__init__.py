"""What the report and the tools compute and draw from scores: statistics, figures, overlays, trivial baselines."""
