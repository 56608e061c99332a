"""The HTTP face of a region (Litestar)."""
