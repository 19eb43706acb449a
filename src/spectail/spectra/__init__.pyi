# the eigenvalues of a matrix, or of several
from .eigen import eigenvalues as eigenvalues
from .eigen import eigenvalues_and_top_direction as eigenvalues_and_top_direction
from .eigen import eigenvalues_of_slices as eigenvalues_of_slices
from .eigen import singular_values as singular_values
from .gram import gram_matrix as gram_matrix

# norms and ranks
from .norms import effective_rank as effective_rank
from .norms import frobenius_norm as frobenius_norm
from .norms import spectral_norm as spectral_norm
from .norms import stable_rank as stable_rank

# the bulk, and the shape of a density
from .bulk import MarchenkoPastur as MarchenkoPastur
from .bulk import fit_marchenko_pastur as fit_marchenko_pastur
from .density import count_modes as count_modes
from .density import histogram as histogram

# how far two spectra lie apart
from .distances import SpectralDistances as SpectralDistances
from .distances import spectral_distances as spectral_distances

# spikes
from .spikes import count_spikes as count_spikes
from .spikes import critical_strength as critical_strength
from .spikes import fit_bulk as fit_bulk
from .spikes import spectral_gap as spectral_gap
from .spikes import sphericity as sphericity
from .spikes import spike_eigenvalue as spike_eigenvalue
from .spikes import spike_overlap_left as spike_overlap_left
from .spikes import spike_overlap_right as spike_overlap_right
from .spikes import spike_values as spike_values
from .spikes import visible_edge as visible_edge
from .sums import SumLaw as SumLaw
from .sums import sum_law as sum_law

# the tail, whether it is a power law, and what it would be without training
from .nulls import ExponentNull as ExponentNull
from .nulls import Nulls as Nulls
from .nulls import StatisticNull as StatisticNull
from .nulls import gaussian_spectrum as gaussian_spectrum
from .nulls import simulate_nulls as simulate_nulls
from .tails import standard_error as standard_error
from .shuffles import ShuffledNull as ShuffledNull
from .shuffles import shuffled_nulls as shuffled_nulls
from .bootstrap import GoodnessOfFit as GoodnessOfFit
from .vuong import LikelihoodRatio as LikelihoodRatio
from .tail_tests import TailKind as TailKind
from .bootstrap import bootstrap_p_value as bootstrap_p_value
from .truncated_power_law import TruncatedPowerLawFit as TruncatedPowerLawFit
from .truncated_power_law import truncated_power_law_fit as truncated_power_law_fit
from .vuong import likelihood_ratios as likelihood_ratios
from .tail_tests import tail_kind as tail_kind
from .tails import PowerLawFit as PowerLawFit
from .tails import hill as hill
from .tails import hill_fit as hill_fit
from .tails import ks_fit as ks_fit
from .tails import pl_alpha_hill as pl_alpha_hill

# the tail of windows of one shape
from .subsampling import farms_hill as farms_hill
from .subsampling import windowed_eigenvalues as windowed_eigenvalues

# the phase
from .phases import Phase as Phase
from .phases import PhaseEvidence as PhaseEvidence
from .phases import classify as classify

# norms and entries taken out
from .inhomogeneity import Inhomogeneity as Inhomogeneity
from .inhomogeneity import homogeneous as homogeneous

# singular vectors, how those of two matrices overlap, and what independent ones would have
from .overlap_nulls import OverlapNull as OverlapNull
from .overlap_nulls import alignment_null as alignment_null
from .overlap_nulls import largest_overlap_null as largest_overlap_null
from .overlap_nulls import overlap_entropy_null as overlap_entropy_null
from .overlap_nulls import overlap_null as overlap_null
from .overlap_nulls import participation_ratio_null as participation_ratio_null
from .overlap_nulls import simulate_principal_angles as simulate_principal_angles
from .overlap_nulls import leading_overlap_null as leading_overlap_null
from .overlaps import Overlaps as Overlaps
from .overlaps import SingularVectors as SingularVectors
from .overlaps import leading_overlap as leading_overlap
from .overlaps import overlap_entropy as overlap_entropy
from .overlaps import participation_ratio as participation_ratio
from .overlaps import principal_angles as principal_angles
from .overlaps import singular_overlaps as singular_overlaps
from .overlaps import singular_vectors as singular_vectors
from .overlaps import squared_overlaps as squared_overlaps
from .overlaps import window_overlap as window_overlap

# over how many entries they spread
from .localisation import Localisation as Localisation
from .localisation import vector_localisation as vector_localisation

# what a tuned matrix has that the one it was tuned from has not
from .intruders import IntruderDimensions as IntruderDimensions
from .intruders import intruder_dimensions as intruder_dimensions
from .intruders import subspace_overlap as subspace_overlap

# a term of a loss
from .regularizer import hill_penalty as hill_penalty
