"""An executable stand-in for `ollama`: command line and server, each a real process. Tests take `fixture.StandIn`."""
