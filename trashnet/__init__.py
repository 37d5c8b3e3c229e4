"""What more than one stage of the TrashNet pipeline needs, and its command line."""

import os

# Else TensorFlow takes all of a GPU's memory at once, and nothing else fits beside it.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
