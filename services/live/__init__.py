"""The live session: an avatar that listens and speaks for as long as somebody is connected, whatever the transport."""
