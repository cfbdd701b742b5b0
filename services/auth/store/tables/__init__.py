"""The tables of the schema `auth`: one file for each noun.

A table keeps the name that its migration gave it, because the previous release uses it too. Where the code has another:

| In the database | In the code        |
|-----------------|--------------------|
| `deeds`         | `AUDIT_RECORDS`    |
| `changes`       | `SECRET_CHANGES`   |
| `tokens`        | `WORKSPACE_TOKENS` |
"""
