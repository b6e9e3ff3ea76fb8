"""From published checkpoints to the engines that Triton serves."""
