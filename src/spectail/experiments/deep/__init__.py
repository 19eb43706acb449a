"""Networks trained by autograd, on images or other samples, and the spectra of their layers.

Not here: updates, and what a run goes on from, which students of teachers share.
"""
