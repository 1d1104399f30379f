"""The live process: feeds in, forecasts out, learning as it goes, for months."""
