"""A fake `sd-server`: a real process with real HTTP, and the traps of the real one. Tests take `fixture.FakeSd`.

What it imitates was seen on a real server, stable-diffusion.cpp of July 2026.
"""
