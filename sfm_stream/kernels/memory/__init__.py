"""The compiled State-Frequency Memory: its step, its products and its gradient."""
