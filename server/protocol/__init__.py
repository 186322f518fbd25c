"""What requests may say, and what replies look like."""
