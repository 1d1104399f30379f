"""The live process: reads feeds, forecasts and learns, and runs for months."""
