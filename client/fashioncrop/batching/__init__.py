"""Many photos: what they are, what was answered, and how an interrupted run goes on."""
