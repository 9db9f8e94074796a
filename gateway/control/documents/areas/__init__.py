"""The definition of the public API by area, as data: operations, and the schemas they speak."""
