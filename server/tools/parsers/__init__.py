"""One file per format of tool calls."""
