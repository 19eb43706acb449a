"""Recordings, results and the study for eyes: pages and the terminal.

Not here: pictures of matplotlib (plots/), and anything that measures.
"""
