"""Deployment variants: what a model becomes before it is shipped, and what that costs, and whom.

    variants = [derive(model, "int8"), derive(model, "bf16"), derive(model, "pruned", share=0.5)]
    found = compare_variants(subject, variants)
    found.sentences, found.findings.metrics

Compression is usually judged by accuracy alone. It forgets unevenly: rows that are rare or hard, and the groups of
people that have many of them, lose more than the average shows (Hooker et al. 2019, arXiv:1911.05248; 2020,
arXiv:2010.03058). So every variant is held against its original on the same test rows, figure by figure and group by
group, with paired intervals, which are far narrower than two intervals side by side.
"""
