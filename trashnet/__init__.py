"""What more than one stage of the TrashNet pipeline needs, and its command line."""
