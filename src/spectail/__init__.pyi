from .drawing import plots as plots
from .networks.analyze import analyze as analyze
from .networks import SpectralMonitor as SpectralMonitor
from .networks import open_monitor as open_monitor
from .spectra import MarchenkoPastur as MarchenkoPastur
from .spectra import Phase as Phase
from .spectra import PhaseEvidence as PhaseEvidence
from .spectra import PowerLawFit as PowerLawFit
from .spectra import classify as classify
from .spectra import eigenvalues as eigenvalues
from .spectra import fit_marchenko_pastur as fit_marchenko_pastur
from .spectra import hill_fit as hill_fit
from .spectra import ks_fit as ks_fit
from .spectra import pl_alpha_hill as pl_alpha_hill
from .spectra import singular_overlaps as singular_overlaps
from .sweeps import Grid as Grid
from .sweeps import Store as Store
from .sweeps import open_results as open_results
from .sweeps import open_run as open_run
from .sweeps import results_frame as results_frame
from .sweeps.sweep import sweep as sweep
from .teacher_student import Experiment as Experiment
from .teacher_student import Problem as Problem
from .teacher_student import predict_one_step as predict_one_step
from .teacher_student.simulate import simulate as simulate
from .teacher_student.simulate import simulate_many as simulate_many

__version__: str
