"""Photos to calibrate and to verify with, and what each model is fed with when it sees one."""
