"""A live session to a streaming site, another program or a file."""
