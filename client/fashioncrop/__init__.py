"""One photo in, every garment out."""
