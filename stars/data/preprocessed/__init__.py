"""Reads and writes data sets in other code's preprocessed layouts; when read, each clip appears as a `.npy` file.

source defines the common interface; npz, pyskl and npy each read a layout; find detects the layout at a path; pickles
reads pickles without calling anything; export writes a clip store in these layouts.
"""
