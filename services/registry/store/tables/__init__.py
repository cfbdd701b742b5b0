"""The tables of the schema `registry`.

`workspaces` has the tables `workspaces`, `vitals`, `cards`, `events` and `watchers`; every other module has one table.
The tables of notes are in `services/registry/notes/*/tables.py`.

A table keeps the name that its migration gave it, because the previous release uses it too. Where the code has another:

| In the database        | In the code         |
|------------------------|---------------------|
| `deeds`                | `audit_outbox`      |
| `kit_files`            | `starter_files`     |
| `terms`                | `card_terms`        |
| `turnovers`            | `rollout_cursors`   |
| `numbers` (a sequence) | `revision_sequence` |
"""
