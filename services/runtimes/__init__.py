"""What computes the networks: one small interface, and a class for every runtime."""
