"""Tables, charts and pages that show results to people."""
