"""A file of the user's own as a `data_setup_function`.

`formats` reads a file's columns, `tables` chooses and checks them, `splits` cuts them into train, dev and test, and
`file_data` puts these together.
"""

from nmlab.data.files.cut import Scaling
from nmlab.data.files.file_data import FileData, from_file
from nmlab.data.files.formats import SUFFIXES

__all__ = ["SUFFIXES", "FileData", "Scaling", "from_file"]
