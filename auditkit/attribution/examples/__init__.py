"""Explanations by example: the training rows that made an answer what it is, and those that are most like a row.

`tracin` asks which training rows pulled a row's loss down or up while the model was trained, `left_out` what the last
layer would answer without them, `nearest` which ones look alike to the model just before it answers.
"""
