"""Results folders after the fact: whether they are whole, where numbers come from, what changed, what differs, and what to send."""
