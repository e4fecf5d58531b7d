"""Content Credentials (C2PA): a file says, signed, that it was generated, and by what."""
