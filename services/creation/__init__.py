"""Avatars made and removed through the server: jobs, the programs that do them, and what is told of them."""
