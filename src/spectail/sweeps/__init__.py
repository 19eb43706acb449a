"""Computes what a store lacks: grids of experiments, and who runs them.

Not here: how processes are kept busy (running/), how runs are kept (store/).
"""
