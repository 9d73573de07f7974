"""One handler per request type."""
