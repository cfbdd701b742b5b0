"""Chat files: uploads to and downloads from the agent of a workspace, streamed (docs/spec/rest.md, 6.13)."""
