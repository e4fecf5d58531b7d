"""Commands that measure speed and print a table; ratios inside one run count, not absolute times."""
