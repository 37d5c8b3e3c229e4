"""Does a parameter help, or was it luck? A grid of experiments and a report with a verdict."""
