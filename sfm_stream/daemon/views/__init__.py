"""The data behind the page: history, running figures and marks, sent as frames."""
