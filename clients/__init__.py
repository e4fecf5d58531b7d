"""Clients of the server, in their own languages; each stands alone."""
