"""The daemon's HTTP server: pages, metrics and the websocket of records."""
