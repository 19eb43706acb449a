"""Tables on the terminal.

Not here: pages (`report/pages/`), and options of commands (`cli/`).
"""
