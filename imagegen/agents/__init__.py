"""The MCP server: what an agent may do here, each call a `doit … --json` of its own.

What an agent is offered is declared in `tools`; the words of a command
line are made in `arguments`, run in `children`, and `server` hands both to the SDK.
"""
