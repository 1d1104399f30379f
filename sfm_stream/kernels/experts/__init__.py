"""The experts: their forecasts, aggregation and intervals, and learning from truths."""
