"""One module a DVC stage, named like the stage."""

import sys

from trashnet.native_messages import hide_native_messages

# So it is while `python -m stages.train` looks for its module, before TensorFlow is imported.
if sys.argv[0] == "-m":
    hide_native_messages()
