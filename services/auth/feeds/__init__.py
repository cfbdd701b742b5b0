"""Feeds: revocations and changes of secrets, streamed to other services as they commit."""
