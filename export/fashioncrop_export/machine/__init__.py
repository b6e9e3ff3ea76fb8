"""What this machine has: memory, for one."""
