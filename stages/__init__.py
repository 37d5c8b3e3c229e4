"""One module a DVC stage, named like the stage."""
