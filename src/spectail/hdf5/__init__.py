"""Opens files of HDF5 so that a damaged one can neither hang nor end this process.

Here: the checksum behind a file, the process that reads files which have none, and the lock. Not here: what is in a
file (`recording`, `weights/formats`).
"""
