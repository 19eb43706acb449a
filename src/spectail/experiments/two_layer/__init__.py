"""A two-layer student learns a single-index teacher: the problem, the student, its steps and what is measured."""
