"""Many settings of one model on the same ticks: which are best, and how surely."""
