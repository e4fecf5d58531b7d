"""From what is written to what is said: numbers with their signs, in the words of a language."""
