"""What the daemon shares with its machine: logs and the service manager."""
