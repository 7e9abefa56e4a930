"""The network and the checks and records of it: metrics, calibration, out-of-distribution check, MLflow."""
