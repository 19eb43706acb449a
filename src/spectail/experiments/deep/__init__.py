"""Networks for images, trained by the full batch, and the spectra of their layers.

Not here: updates, and what a run goes on from, which students of teachers share.
"""
