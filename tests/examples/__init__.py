"""NeuroMANCER's own examples, run from a checkout of its repository with its trainers and with nmlab's.

`make examples NEUROMANCER_REPO=…` runs each example's code twice from the same random state, the second time by the
changed import, and compares the losses of all epochs and the weights of every training. None of that code is in this
repository.
"""

import nmlab as nmlab  # first, so that NeuroMANCER is quick to import
