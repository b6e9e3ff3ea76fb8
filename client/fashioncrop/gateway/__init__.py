"""The gateway: the client's answers over HTTP, for people and programs that do not speak Triton.

An edge: it knows nothing of models, and nothing but the command imports it. Needs the extra `gateway`.
"""
