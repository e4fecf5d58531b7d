"""The live session for conversation stacks that people already use. Each needs an extra; nothing else imports them."""
