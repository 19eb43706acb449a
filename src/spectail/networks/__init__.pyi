from .matrices import ConvMatrix as ConvMatrix
from .matrices import Skipped as Skipped
from .matrices import WeightMatrix as WeightMatrix
from .matrices import Weights as Weights
from .matrices import open_weights as open_weights
from .row import effective_rank as effective_rank
from .row import measure_matrix as measure_matrix
from .spectrum import pooled_eigenvalues as pooled_eigenvalues
