"""Pages of HTML that stand alone.

Not here: the terminal (`report/terminal/`), and pictures of matplotlib (`plots/`).
"""
