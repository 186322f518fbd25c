"""The paged-attention engine. Importing this package runs nothing: its parts are imported by name."""
