"""Drawing code and style of our pages; uPlot (MIT licence) lies beside its licence."""
