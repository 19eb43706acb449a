"""The catalogue of the paper's figures and tables, and its claims."""
