"""Distributions of whole binary vectors, such as the notes that sound together.

A head with one probability per element cannot say that two go together; these can. Each
is conditional on a context, which a recurrent layer makes of the vectors before.
"""
