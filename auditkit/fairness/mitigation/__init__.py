"""What would fix a gap between groups, and at what cost: other thresholds, other weights, other training.

    targets         which gaps a policy can be fitted to
    policy          thresholds by group, one each or a draw between several, and the decisions they make
    deterministic   the best policy with one threshold per group, within an allowed gap
    randomised      the best policy that draws between thresholds, within an allowed gap
    frontier        the best accuracy for every allowed gap
    held_out        what a policy brings on rows that it was not fitted on
    changes         who gains and who loses
    findings, tables        all of this for the gaps and gates of a check, as evidence
    reweighing, retraining, comparison      methods that train a model anew, side by side with thresholds

A policy is always fitted on some rows and judged on others: on the rows it was fitted on it looks better than it is.
Different thresholds for different groups may be unlawful where decisions about people are concerned; what stands here
is what a gap costs and no advice to use it.
"""
