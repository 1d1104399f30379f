"""The state of streams as arrays, and the plan that turns a tick into inputs."""
