"""Config: settings, where they come from, and the files of a project folder.

`settings` defines what can be set, `variables` parses each environment variable, `urls` checks those that are URLs,
`environment` reads the process environment and `.env`, `folder` creates a project folder from the files in `project/`.
"""
