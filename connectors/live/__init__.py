"""Live feeds: the only room with sockets."""
