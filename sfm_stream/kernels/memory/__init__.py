"""The State-Frequency Memory, compiled: its step, its products and its gradient."""
