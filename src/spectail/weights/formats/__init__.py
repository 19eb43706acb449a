"""One file a format: how it is recognised, what it holds, and how its tensors are read.

`table.py` lists the formats, one line each.
"""
