"""Somebody to talk with: a language model and a recogniser of other servers, behind the avatar's own voice."""
