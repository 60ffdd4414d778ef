"""FLOPs per sample under a named convention.

`operations` holds exact counts as polynomials of the sequence length, `components` measures them on real
modules, `conventions` turns them into one number, `paths` sums them up to an exit, `shapes` and
`configs` know model sizes by name and `breakdown` lists the parts of one encoder.
"""
