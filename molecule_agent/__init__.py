"""What runs inside a workspace; it knows the REST contract and nothing of the plane's code."""
