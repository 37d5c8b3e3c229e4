"""One module a DVC stage, named like the stage."""

import gc
import sys

from trashnet.native_messages import hide_native_messages

# So it is while `python -m stages.train` looks for its module, before it imports TensorFlow.
if sys.argv[0] == "-m":
    hide_native_messages()
    # Collecting garbage among all that TensorFlow makes to stay takes half a second.
    gc.set_threshold(100_000)
