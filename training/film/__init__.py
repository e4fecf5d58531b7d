"""An avatar that is drawn from its film alone: fitted in minutes, without a network for the picture."""
