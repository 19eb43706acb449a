"""A two-layer student learns a single-index teacher: the problem, the student, its steps and what is measured.

Not here: updates and activations, and what a run goes on from, which are a room higher; theory, too.
"""
