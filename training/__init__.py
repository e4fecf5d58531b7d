"""From a dataset to an avatar: data on the device, losses, the two stages, packaging."""
