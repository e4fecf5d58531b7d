"""An utterance on its way to a client: what is produced, in which thread, how it is coded, what is kept of it."""
