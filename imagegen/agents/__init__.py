"""The MCP server: what an agent may do here, each call a `doit … --json` of its own.

What an agent is offered is declared in `tools`. `arguments` makes the words of a command line, `children` runs it,
`answers` and `pictures` are what comes back, and `server` hands all of it to the SDK.
"""
