"""Print figures of spectra, overlaps and curves."""
