"""A fake `ollama`: command line and server, each a real process. Tests take `fixture.FakeOllama`."""
