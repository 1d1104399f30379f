"""What is kept on disk: journals, checkpoints and run folders."""
