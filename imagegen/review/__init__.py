"""`doit review`: the gallery's page, served on this machine and live, with everything that one decides there."""
