"""The status of the daemon."""
