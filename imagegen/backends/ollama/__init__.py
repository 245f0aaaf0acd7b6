"""The backend `ollama`: through the Ollama command line."""
