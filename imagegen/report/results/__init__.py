"""What commands answer, as data: a command names the class of its result, which is loaded where it is used."""
