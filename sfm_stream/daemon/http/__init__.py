"""The daemon on the network: pages, metrics and the stream of records."""
