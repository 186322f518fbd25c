"""The Responses API: conversations of items, answers that can be kept and fetched later."""
