"""The tick on an NVIDIA GPU; importing this package does not load CUDA."""
