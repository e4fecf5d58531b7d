"""The ground floor: what training and serving must agree on, each thing once. It imports nothing of the house."""
