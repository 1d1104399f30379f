"""The stages of ticks as kernels over many rows; the cell has its own in C++."""
