"""The embedded server: the real `tritonserver` of the nvidia-pytriton wheel, on loopback, without Docker or GPU."""
