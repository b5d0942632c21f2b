"""The kernels as a textbook prints them: NumPy only, short loops over kernel offsets, one formula each.

These functions are the definition of right. They run on any NumPy array, serve
`use_kernels("reference")`, and every other column is tested against them. Speed is no concern here.
"""
