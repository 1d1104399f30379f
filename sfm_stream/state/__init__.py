"""The state of a stream, array by array, and the plans that turn a tick into inputs."""
