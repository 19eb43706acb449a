"""Pages of HTML that stand alone."""
