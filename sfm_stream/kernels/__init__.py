"""The stages of the numeric tick, one file each, and nothing else."""
