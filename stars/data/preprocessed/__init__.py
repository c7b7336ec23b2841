"""Data sets that other code has preprocessed, read as if each of their clips were a `.npy` file of its own, and written for that code.

source says what is read of them; npz, pyskl and npy read a layout each; find tells which of them lies at a path; pickles reads pickles without
calling anything; export writes a clip store in these layouts.
"""
