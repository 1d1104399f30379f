"""The venues' protocols: frames in, events out. None opens a socket."""
