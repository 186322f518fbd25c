"""The Messages API, in the form that Anthropic's client speaks."""
