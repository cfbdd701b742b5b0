"""Creates, removes, exports and imports whole trees of workspaces.

| Module | Contents |
|---|---|
| `org_import` | imports an organisation from an org template |
| `org_file` | the format of org.yaml |
| `org_folders` | org templates on disk, with includes |
| `bundles` | exports a tree as a bundle and imports bundles |
| `bundle_file` | the JSON format of bundles |
| `teams` | expands and collapses the team of a workspace |
"""
