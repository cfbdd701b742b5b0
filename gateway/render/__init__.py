"""Replies of the services as the JSON that the REST contract promises."""
