"""Schemes of quantisation: what the parts of a weight are, by their names, shapes and dtypes; one function a scheme.

Here: which shapes fit, and what to read and compute when the weight is asked for. Not here: which parameters belong
together (`quantized`), and the arithmetic (`dequantization`). No weight is read before it is asked for. The small parts
that say how it was quantised, such as its shape, are read at once.
"""
