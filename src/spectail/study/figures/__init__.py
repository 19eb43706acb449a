"""The paper's figures and tables, in its order, and ours, each with its claims.

A module has `ARTIFACTS`; none imports another.
Not here: what several figures share: panels (`panels.py`), kinds of figures (`figure_kinds.py`), criteria
(`criteria.py`), settings (`settings.py`); and rules of verdicts (`verdicts.py`). This holds for each file of the
folder.
"""
