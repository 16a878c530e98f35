"""Questions: the tools that answer an AI assistant from the published file, each answer in a process of its own.

`asking` starts the process and ends it at its limits, `child` is the process, `tools` are the tools. They use `dates`
(the words for dates), `labels` (what is missing or not final), `figures` (metrics) and `sql` (the assistant's own SQL).
Nothing here knows the protocol; `cli.mcp` does.
"""
