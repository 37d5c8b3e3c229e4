"""One module a DVC stage, named like the stage."""

import gc
import sys

from trashnet.keras_alone import import_keras_alone
from trashnet.native_messages import hide_native_messages

# So it is while `python -m stages.train` looks for its module, before it imports TensorFlow.
if sys.argv[0] == "-m":
    hide_native_messages()
    import_keras_alone()
    # Collecting garbage among all that TensorFlow makes to stay takes half a second.
    gc.set_threshold(100_000)
