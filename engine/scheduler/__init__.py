"""Which request computes how many tokens in the next step. Plain lists and numbers: no tensor, socket or clock waits."""
