"""ComfyUI: its server on this machine."""
