"""The compiled stages of the tick, one file for each; `tick` calls them in order."""
