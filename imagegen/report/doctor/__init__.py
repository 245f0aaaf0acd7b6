"""Is all there that the jobs need? One module an area, each from a case to its rows. They look, and change nothing."""
