"""The two entry points that Function Compute calls."""
