"""The daemon's face on the network: pages, metrics and the stream of records."""
