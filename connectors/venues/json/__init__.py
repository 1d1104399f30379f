"""Any feed of JSON frames, described by the configuration."""
