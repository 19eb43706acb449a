"""Keeps many runs, found again by their experiment.

Here: the folder, its summary, its locks, its upkeep, its labelled results. Not here: what computes runs.
"""
