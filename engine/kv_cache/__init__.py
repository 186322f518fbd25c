"""The paged key/value cache seen from the scheduler: blocks, block tables, hashes. No tensor lives here."""
