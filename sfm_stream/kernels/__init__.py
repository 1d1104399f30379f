"""The stages of the numeric tick, a file for each; `tick` calls them in order."""
