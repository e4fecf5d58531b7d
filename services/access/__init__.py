"""Who may use a server that others can reach, for what, and how much."""
