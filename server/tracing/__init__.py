"""One OpenTelemetry span for each request of the model, with the phases it went through inside."""
