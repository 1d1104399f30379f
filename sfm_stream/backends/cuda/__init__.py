"""The tick on an NVIDIA GPU: nothing of CUDA is loaded before it is asked for."""
