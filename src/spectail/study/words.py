"""The paper's own words of each claim, by its number.

Letter for letter, but for formulas, which stand in plain letters, and … where words are left out; each is found by its
words in the section that the claim names. Not here: what is tested, which stands beside each figure in `figures/`.

Source: Kothapalli et al. (2025), From Spikes to Heavy Tails.
"""

from __future__ import annotations

# fmt: off
WORDS = {
    "§1a":
        "The ESD of the hidden layer weight matrix exhibits heavy tails after multiple steps of GD/FB-Adam with "
        "(sufficiently) large learning rates",
    "§1b": "For the purpose of illustrating clear HT shapes, we did not choose a highly HT spectrum.",
    "1": "after one GD update with η=0.1, the ESD of W_1⊤W_1 remains largely unchanged from that of W_0⊤W_0",
    "2": "for η=2000, the ESD of W_1⊤W_1 exhibits a spike",
    "3": "FB-Adam exhibits a spike in the ESD of W_1⊤W_1 after the first step even with η=1",
    "4": "for η=10, the ESD tends towards a seemingly bimodal distribution",
    "5":
        "why does η=0.1 suffice for one-step of FB-Adam to exhibit a spike in the ESD, whereas one-step GD requires "
        "η=2000?",
    "6":
        "In the case of GD, observe that η=2000 is the threshold for the: reduction of train and test losses …, an "
        "increase in KTA …, and an increase in sim(W,β*)",
    "6b":
        "η=2000 is the threshold for the: reduction of train and test losses …, an increase in KTA …, and an increase"
        " in sim(W,β*)",
    "42":
        "In the case of FB-Adam, η<0.01 does not improve generalization and we do not see an increase in "
        "KTA/sim(W,β*).",
    "43": "For 0.01≤η≤1, generalization improves, and KTA/sim(W,β*) values increase.",
    "7": "For η>1, generalization degrades and there is a slight reversal in the trend for KTA.",
    "44": "These observations hint at a sweet spot for η beyond which FB-Adam leads to poor test performance",
    "45a": "Thus, implying that the occurrence of a spike leads to better generalization after one step",
    "45b":
        "by choosing η for which a bulk + spike ESD occurs with FB-Adam, … we are indeed better than the kernel bound",
    "8":
        "the large magnitude of the first step update with η>1 can lead to lower training loss …, but lead to higher "
        "test loss",
    "28a": "the spike emerges after one-step … and gradually decays the Bulk … toward a HT distribution",
    "28b":
        "the “Bulk-Decay” ESD can be treated as an intermediate state generated from diffusing the spike into the "
        "main bulk",
    "28c": "gradually decays the Bulk (Figure 4(b), Figure 4(c)) toward a HT distribution",
    "83": "the emergence of the HT spectra seems to require only a single spike aligned with the teacher model",
    "50":
        "the estimation of power-law (PL) exponents, such as PL_Alpha_Hill and PL_Alpha_KS, can be sensitive to the "
        "scale of singular values in the weight matrix",
    "16":
        "for baseline GD experiments with η≥1000, the reduction in train and test losses are correlated with an "
        "increase in KTA and a decrease in PL_Alpha_Hill and PL_Alpha_KS",
    "17":
        "a region of benign learning rates (0.01≤η≤1) for which, the PL_Alpha_Hill estimates lie in the range of "
        "(2,2.5)",
    "18": "a decrease in the estimate (resulting in a ‘heavier’ tailed ESD) improves generalization",
    "19":
        "For 1≤η≤100, although we observe similar values of PL_Alpha_Hill, … the PL_Alpha_KS captures the "
        "monotonically decreasing trend for this range of η",
    "20":
        "for extremely large η>100, we observe much smaller estimates of PL_Alpha_Hill (<1.8) but these extremely "
        "heavier tails do not correlate with better generalization",
    "21": "note that the test loss values are relatively smaller (i.e ≈0.85 in Figure 5, and ≈0.2 in this setup)",
    "47":
        "In the case of FB-Adam, a much clearer correlation between the training loss, KTA, PL_Alpha_Hill and "
        "PL_Alpha_KS can be observed.",
    "76":
        "the techniques used to calculate the PL_Alpha of ESDs are subject to bias (in the case of the hill "
        "estimator) and to relatively larger variance in the case of the KS variant",
    "39":
        "the trends with PL alpha estimates being the same apply to the η≥0.1 values, where the spike is sufficiently"
        " far from the bulk and the estimates tend to exhibit a non-increasing trend",
    "27": "both ESDs have a PL coefficient PL_Alpha_KS smaller than 2",
    "27b": "PL_Alpha_KS for GD (first row) is 1.58, and PL_Alpha_KS for FB-Adam (second row) is 1.59.",
    "9": "Figure 8 shows a linear relationship of the norms with √(hd)",
    "10": "η=Θ(1) ⟹ ‖W_1−W_0‖_F ≍ ‖W_0‖_F, η=Θ(1/√h) ⟹ ‖W_1−W_0‖_2 ≍ ‖W_0‖_2",
    "62": "the top singular value contributes the most to the Frobenius norm as d,h increase",
    "63": "η=Θ(1) (which is independent of h,d) is sufficient for ηG̃_0 to result in a ‘spike’ in the ESD of W_1⊤W_1",
    "49": "η=Θ(1/√d) ⟹ ‖W_1−W_0‖_F ≍ ‖W_0‖_F, η=Θ(1/√(hd)) ⟹ ‖W_1−W_0‖_2 ≍ ‖W_0‖_2",
    "84": "η=Θ(h) (scaling adjusted to our notation) is (sufficiently) large for the GD update G_0",
    "59":
        "it does not affect the key theoretical results of this work, such as the scaling of η for a single-"
        "step FB-Adam update",
    "41": "σ satisfies E[σ(z)]=0, E[zσ(z)]≠0",
    "11": "A_ij≠0, ∀i∈[h], j∈[d] almost surely",
    "12":
        "there exists a constant c, such that for sufficiently large n: P(‖G_0−A‖_2 ≤ (2log²n/√n) ‖G_0‖_2) ≥ 1−n "
        "e^(−c log²n) − e^(−cn)",
    "12b":
        "there exists a constant c, such that for sufficiently large n: P(‖G_0−A‖_2 ≤ (2log²n/√n) ‖G_0‖_2) ≥ 1−n "
        "e^(−c log²n) − e^(−cn)",
    "13": "for sufficiently large n: ‖sign(A)−sign(G_0)‖_2=0, sign(A)=sign(G_0) with high probability",
    "13b": "for sufficiently large n: ‖sign(A)−sign(G_0)‖_2=0, sign(A)=sign(G_0) with high probability",
    "14a":
        "alignments of top singular vectors of W_1,M_0 … have high values which are close to 1 and correlate with the"
        " presence of a spike in the ESD",
    "14b": "a decay of overlap values across the diagonal that tends to correlate with the HT ESD emergence",
    "80": "qualitative results that indicate HT-like distributions along the diagonals of overlap matrices",
    "15a": "the Bulk + Spike ESD after the first step with GD … (For example, with η=100 in Figure 10)",
    "72a": "the same feature learning behaviour (via increased KTA and sim(W,β*))",
    "15b": "η=0.04 (which is a large η in this setting) … the spike in Figure 11(c)",
    "72b": "the same feature learning behaviour (via increased KTA and sim(W,β*))",
    "73a":
        "the Bulk + Spike ESD after the first step with GD will result in a test loss that is much better "
        "than this kernel bound",
    "73b":
        "by choosing η for which a bulk + spike ESD occurs with FB-Adam, … we are indeed better than the "
        "kernel bound",
    "14c":
        "For FB-Adam with η=0.04 …, Figure 12 shows the outliers for O(U_W1,U_M0), O(V_W1,V_M0) corresponding to the "
        "spike in Figure 11(c).",
    "15c":
        "for small η=0.00005, the ESD is expected to remain largely unchanged … for η=0.04, the outliers emerge in "
        "the overlap matrices … and correlate with the HT ESD in Figure 13",
    "14g":
        "for small η=0.00005, … the overlap plots illustrate random alignment values. However, for η=0.04, the "
        "outliers emerge in the overlap matrices in Figure 14",
    "4b": "η=2000 is an extremely large learning rate for FB-Adam, which results in a clear bimodal distribution",
    "1b": "Figure 15 … illustrates the ESD of W⊤W after the first step of GD and FB-Adam",
    "5b":
        "Through this grid, we highlight the critical η for the occurrence of a spike at t=1 and the effects of "
        "longer training on the HT emergence.",
    "5c":
        "Through this grid, we highlight the critical η for the occurrence of a spike at t=1 and the effects of "
        "longer training on the emergence of HT ESD.",
    "14d":
        "Figures 16, 17, 18 represent the overlaps of singular vectors after one-step update and showcase the "
        "presence of outliers for sufficiently large η",
    "14e":
        "Figures 16, 17, 18 represent the overlaps of singular vectors after one-step update and showcase the "
        "presence of outliers for sufficiently large η",
    "14f":
        "Figures 16, 17, 18 represent the overlaps of singular vectors after one-step update and showcase the "
        "presence of outliers for sufficiently large η",
    "24":
        "the prominent outlier values in Figures 18(c), 18(d) after the one-step update have now reduced "
        "significantly",
    "22a":
        "for n=2000, … W_10⊤W_10 exhibits a heavy-tailed ESD with PL_Alpha_Hill=1.8 …, unlike the former where the "
        "outlier singular value is almost an order of magnitude away from the bulk",
    "22b":
        "the n=8000 case of ≈1.9 … The key difference in the latter case is that the spike in the ESD is consumed by "
        "the bulk",
    "22c": "for n=2000, … PL_Alpha_Hill=1.8 …, which is less than the n=8000 case of ≈1.9",
    "23": "as η increases, the spike tends to move far away from the bulk",
    "52": "significantly distorts the shape of the bulk only for η=1000",
    "77":
        "For 1≤η≤100, although we observe similar values of PL_Alpha_Hill, the ESDs of W_10⊤W_10 differ in "
        "the scale of the singular values",
    "78": "the spike seems to have a large influence on the estimation of PL_Alpha_Hill",
    "26c": "the ESDs look the same in both cases",
    "26a":
        "the outlier (max) values of the overlap matrices for ρ_e=0.7 have relatively larger values compared to the "
        "ρ_e=0.3 case",
    "26b": "the outliers in the former case had smaller values (almost 0.5×) than the latter",
    "25a":
        "between steps 5 and 6, the spike in the ESD of W⊤W which represents the largest singular value, reduces in "
        "value by an order of magnitude",
    "25b":
        "between steps 5 and 6, the spike in the ESD of W⊤W which represents the largest singular value, reduces in "
        "value by an order of magnitude",
    "25c":
        "this reduction seems to be correlated with the reduction in maximum overlap values from max(O(U_W5,U_M5)) to"
        " max(O(U_W6,U_M5))",
    "81": "We have observed a similar behavior for GD … where the spike tends to merge with the bulk.",
    "29a": "the train loss and test loss improve significantly for n=8000, while the network overfits for smaller n",
    "29b": "the train loss and test loss improve significantly for n=8000",
    "30": "a lower training and test loss is achieved by λ=10^−3 and λ=10^−4, but with a large generalization gap",
    "31":
        "a consistent increase in losses for an increase in the additive Gaussian label noise ρ_e from "
        "{0.1,0.3,0.5,0.7}",
    "32":
        "fast decays (with γ=0.2 and γ=0.4) … lead to stable loss curves. However, the trends are relatively unstable"
        " for γ=0.6 and γ=0.8 in the early steps.",
    "33a": "to ensure that ‖W_t+1‖_F is always √(hd), before the forward pass",
    "33b":
        "after 64 steps of GD/FB-Adam updates with varying η, the large η cases lead to HT ESDs which spread over a "
        "wider range of singular values than the non-WN cases",
    "33c": "the PL_Alpha_Hill estimates for 10≤η≤100 are relatively lower than the non-WN case",
    "33d":
        "in the case of FB-Adam for 0.01≤η≤100, the PL_Alpha_Hill metric and the mean estimates of PL_Alpha_KS tend "
        "to exhibit HT ESDs and generalize well",
    "54": "Notice that this range is much broader than the non-WN case in the main text",
    "79":
        "it leads to relatively heavier-tailed spectra … while exhibiting similar correlations with "
        "generalization as discussed above",
    "34": "by employing learning rate schedules, we can control the presence of the spike",
    "55": "while nudging the bulk of the ESD toward an HT distribution",
    "35": "note that the test loss values are relatively smaller (i.e ≈0.85 in Figure 5, and ≈0.2 in this setup)",
    "36": "In the case of FB-Adam, we observe a surprising shift in the trend of loss values for η≥0.1.",
    "56": "note that for GD with η≥1000, the KTA increases and PL_Alpha_Hill, mean estimates of PL_Alpha_KS reduces",
    "57":
        "the range of η for which HT ESDs emerge and lead to good generalization has now shrunk to a much smaller "
        "range",
    "58":
        "the PL_Alpha_Hill value of ≈2 which resulted in good generalization in Figure 5 …, correlates with poorer "
        "generalization in this setup",
    "37a": "after just 10 FB-Adam steps with η=1, the HT ESD emerges. However, η=0.1 requires t=10000.",
    "37b": "for η=0.01, which does not exhibit an HT ESD even after t=10000",
    "37c":
        "the relative position of the spike from the bulk … plays a key role in determining the step complexity of "
        "the HT ESD emergence",
    "64": "the number of steps required for HT ESD emergence depends on the spectral gap",
    "65": "While our work establishes the necessity of the spike",
    "68":
        "the emergence of the HT spectra can appear early during training, way before the NN reaches a low training "
        "loss",
    "38": "the spike tends to get closer to the bulk in the latter (i.e as training progresses)",
    "82":
        "the estimation of PL exponents should be relatively less affected by such outlier spikes as training"
        " progresses",
    "37d": "very long training t=10000 with small η does not result in HT ESDs",
    "37g": "very long training t=10000 with small η does not result in HT ESDs",
    "37e": "a spike does not appear after the first step but results in HT ESD after extremely long training",
    "37f": "a spike does not appear after the first step but results in HT ESD after extremely long training",
    "40":
        "Figure 6 illustrates the ESDs of selected layers in the deeper NNs and indicates the emergence of HT ESDs "
        "during the early phases of training (i.e just after 10 steps)",
}
# fmt: on


def words_of(number: str) -> str:
    """The paper's words of a claim; empty for one of ours.

    >>> words_of("2")
    'for η=2000, the ESD of W_1⊤W_1 exhibits a spike'
    """
    return WORDS.get(number) or WORDS.get(number.partition(".")[0], "")
