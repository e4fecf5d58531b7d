"""What the entry points stand on: avatars, the runtime that runs them, and the frames they make."""
