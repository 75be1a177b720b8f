"""A graph becomes a better one: normal form, cut, retyped, simplified, fused; layers are found."""
