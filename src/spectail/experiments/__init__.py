"""Describes, runs and predicts one experiment.

`two_layer` is the paper's student and teacher, `deep` its networks for images.
Not here: many runs, and where they are kept.
"""
