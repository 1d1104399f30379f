"""What people and programs look at: history, running figures, marks, as frames."""
