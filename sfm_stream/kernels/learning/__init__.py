"""Updates of the cell, from new labels and from windows of the past."""
