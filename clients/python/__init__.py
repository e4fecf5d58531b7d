"""The Python client, as it is installed; a package here so that tests import it in place."""
