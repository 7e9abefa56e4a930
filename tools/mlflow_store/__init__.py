"""What users do with runs that MLflow holds: send them to a server, and register a model."""
