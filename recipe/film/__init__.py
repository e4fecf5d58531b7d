"""A filmed person's lips moved: the film's own pixels, told another mouth. No network draws anything here."""
