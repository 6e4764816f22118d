"""Speed. Nothing here is part of a definition, and everything can be deleted without a test failing."""
