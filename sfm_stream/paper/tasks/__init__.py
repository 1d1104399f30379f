"""The paper's tasks: signals, music and phonemes."""
