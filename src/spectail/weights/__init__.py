"""The matrices of any model or file, unread until asked for; nothing of a stranger's is run.

Here: what a source holds, and how a parameter becomes matrices. Not here: anything that a spectrum says.
"""
