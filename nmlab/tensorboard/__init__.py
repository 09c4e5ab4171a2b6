"""TensorBoard over a folder of runs, as a server of this process's own.

Imports `errors`.
"""

from nmlab.tensorboard.server import Server as Server
from nmlab.tensorboard.server import serve as serve
from nmlab.tensorboard.server import stop as stop
from nmlab.tensorboard.surroundings import base_url as base_url
from nmlab.tensorboard.surroundings import ready_for_plain_magic as ready_for_plain_magic
