"""One connection kept standing: opened, watched, replaced, and what was lost."""
