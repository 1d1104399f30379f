"""Joint distributions of binary vectors, such as notes that sound together.

A head with one independent probability per element cannot express that two elements
occur together; these distributions can. Each is conditional on a context, which a
recurrent layer computes from the earlier vectors.
"""
