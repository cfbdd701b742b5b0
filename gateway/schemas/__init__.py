"""Request bodies and answers of the routes: one module for each noun, with its models and their rendering.

The names and docstrings of the classes are published in /openapi.json. A class that has another name in Python carries
its published one as `title`.
"""
