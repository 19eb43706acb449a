"""What was measured, labelled: the one table of quantities, the layout, the file and its reader.

Here: rows and spectra over matrices and steps. Not here: torch, and how anything is computed or drawn.
"""
