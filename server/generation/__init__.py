"""One request's sequences, from sampling parameters to text."""
