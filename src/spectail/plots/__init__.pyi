from .results_plot import curves as curves
from .results_plot import phase_diagram as phase_diagram
