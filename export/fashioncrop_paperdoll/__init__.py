"""Paper dolls: seeded drawings of dressed people with the truth about every garment, to train and to measure on."""
