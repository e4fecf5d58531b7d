"""A still picture of a face made movable: told lips and head, it gives the same person with them, frame by frame."""
