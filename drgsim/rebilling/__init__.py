"""rebilling."""
