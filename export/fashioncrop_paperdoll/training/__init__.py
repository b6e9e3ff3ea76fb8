"""Trains the small models of the drawn world: what is trained, on what, and the loop that trains it."""
