"""The paper: its settings, figures, tables, claims and verdicts.

One file of `figures/` holds a figure or a group of them with their claims. Not here: plots and runs in general.
"""
