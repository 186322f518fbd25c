"""Why a constraint cannot be served."""


class ConstraintError(ValueError):
    """The request's own fault, in words that name the keyword or the place in it."""
