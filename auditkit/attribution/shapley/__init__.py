"""Shapley values: what each part adds to the score, averaged over all orders in which parts can be revealed.

    φ_i = Σ_{S ⊆ N∖i} |S|! (F - |S| - 1)! / F! · (v(S ∪ i) - v(S))

`game` says what a coalition S of parts is worth, v(S). The rest are ways to the same numbers: `exact` scores all 2^F
coalitions, `kernel` solves a regression on some, `gaussian` learns from them what the others are worth, `permutation`
walks along orders. `interactions` shares the same change among pairs of parts as well.

Which game is played matters more than which way is taken. In the **baseline game** absent parts have the values of one
baseline. In the **interventional game** they have those of a background row, averaged over all of these, which is what
is meant where Shapley values are said to be "relative to the data"; it breaks the dependence between present and absent
parts on purpose. Sums go from the baseline's score, or from the average score of the background, to the row's.

Source: Shapley, "A Value for n-Person Games", 1953; Lundberg and Lee, "A Unified Approach to Interpreting Model
Predictions", NeurIPS 2017, arXiv:1705.07874; Janzing, Minorics, Blöbaum, "Feature relevance quantification in
explainable AI: A causal problem", AISTATS 2020, arXiv:1910.13413.
"""
