"""Proof that what is served computes what the original models compute: `fashioncrop-export verify`."""
