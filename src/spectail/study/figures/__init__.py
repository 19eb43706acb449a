"""The paper's figures and tables, in its order, and ours. A module has `ARTIFACTS`; none imports another."""
