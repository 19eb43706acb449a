from .look import style as style
from .results_plot import curves as curves
from .results_plot import phase_diagram as phase_diagram
