"""miscoding."""
