"""One stream's state, array by array, and the plans by which a tick becomes inputs."""
