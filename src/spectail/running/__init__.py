"""Much work on many processes, here or on a Ray cluster, that can be stopped.

It is handed functions and arguments. Not here: experiments, stores, matrices.
"""
