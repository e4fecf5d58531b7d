"""Ways to run the server, and training, on other machines: docs/deploy.md."""
