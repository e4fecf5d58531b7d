"""Avatars: opened and checked, listed, their template, and loaded into memory."""
