"""Measures a model while it trains, and never disturbs or ends it.

Here: when to measure, what to attach to, whom to tell. Not here: how a row is made.
"""
