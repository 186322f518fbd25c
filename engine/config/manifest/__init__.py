"""InferenceService manifests without a cluster: written from a command line, and checked as the API server would."""
