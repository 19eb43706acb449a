from .evolution_plot import evolution as evolution
from .look import style as style
from .overlaps_plot import overlaps as overlaps
from .quantities_plot import over_depth as over_depth
from .quantities_plot import over_steps as over_steps
from .results_plot import curves as curves
from .results_plot import phase_diagram as phase_diagram
from .spectrum_plot import spectrum as spectrum
