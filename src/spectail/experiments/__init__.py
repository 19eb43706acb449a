"""Describes, runs and predicts one experiment.

`two_layer` is the paper's student and teacher, with gradients in closed form; `deep` any network on images.
The experiment says which it is, and `run` does it.
Not here: many runs, and where they are kept.
"""
