"""Text to speech: text rules, engines, cache, and the way of speech into the frame generator."""
