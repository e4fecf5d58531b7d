"""From phones and their times to what the mouth does: shapes, and how neighbouring sounds pull on each other."""
