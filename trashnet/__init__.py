"""What more than one stage of the TrashNet pipeline needs."""

import os

# TensorFlow reads this when it is first imported; only its errors are for our users.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
