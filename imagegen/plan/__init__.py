"""From checked jobs to requests and their freshness. Pure: no network, no clock, no doit, no file opened."""
