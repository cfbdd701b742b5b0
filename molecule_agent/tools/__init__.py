"""
The tools of agents: what an agent may ask of the plane while it works.

errors            the error that says why a tool failed
attachments       reads the files that a message names
delegations       delegates tasks to other workspaces, and waits for their results
workspace_tools   all tools as functions, for adapters
arguments         the arguments of each tool, as types from which its schema is made
registry          all tools with their descriptions and schemas, for models
"""
