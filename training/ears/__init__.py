"""Ears for everybody: a network from sound to mouth units, trained on speech whose phones and times are known."""
