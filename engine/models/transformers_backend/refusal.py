"""Why a model of transformers cannot be served."""


class Unsupported(ValueError):
    """The text says what the model does that paged attention does not; it continues "because"."""
