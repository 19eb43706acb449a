"""One file a format: how it is recognised, what it holds, and how its tensors are read, none before it is asked for.

A new one is a file that makes a `FORMAT` (see `format.py`) and a line in `table.py`. What belongs to several formats
stands in `table.py`; what guards against files of strangers in `untrusted.py` of the room.

Not here: files that belong together (`weights/folders.py`), files elsewhere (`weights/remote.py`), and what names mean
(`weights/state_dict.py`).
"""
