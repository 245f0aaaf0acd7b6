"""What there is to know of the commands, as text: for agents, and for docs/commands.md."""
