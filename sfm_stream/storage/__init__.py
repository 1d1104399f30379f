"""Files on disk: journals, checkpoints and run folders."""
