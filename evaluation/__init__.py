"""How good is an avatar? Metrics, held-out evaluation and its report. `python -m evaluation NAME`."""
