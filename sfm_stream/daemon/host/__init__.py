"""The daemon on its machine: log, process file and service manager."""
