"""One name in its three spellings: `max_num_seqs`, `--max-num-seqs`, `maxNumSeqs`."""


def flag_of(name: str) -> str:
    """Spell a field as its command-line flag."""
    return "--" + name.replace("_", "-")


def negation_of(name: str) -> str:
    """Spell the flag that sets a boolean field to false."""
    return "--no-" + name.replace("_", "-")


def camel(name: str) -> str:
    """Spell a field as in an InferenceService."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
