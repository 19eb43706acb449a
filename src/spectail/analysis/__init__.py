"""Measures matrices: one row, a model, two models.

Here: what makes rows of weights. Not here: drawings, pages, trainings.
"""
