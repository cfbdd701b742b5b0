"""Reads and writes workspace templates.

| Module | Contents |
|---|---|
| `folders` | templates on disk |
| `config_file` | the format of config.yaml |
| `bounded_yaml` | a YAML parser with limits for untrusted documents |
"""
