"""Files of requests in the OpenAI batch format, answered line by line and resumed after a stop."""
