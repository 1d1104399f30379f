"""Several daemons that share the streams of one configuration."""
