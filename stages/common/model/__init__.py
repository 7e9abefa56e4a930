"""The network and what is said about it: metrics, calibration, out-of-distribution check, MLflow."""
