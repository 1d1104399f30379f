"""The venues' protocols: frames in, events out; no sockets."""
