"""The paper's tasks: signals, music and phonemes, with their models and settings."""
