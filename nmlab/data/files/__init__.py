"""A user's data file as a `data_setup_function`.

`formats` tells formats apart and reads a file's columns, by `text` with `layout` and `marks`, by `hdf5`, `parquet` and
`mat_reader`; `tables` with `times` and `matrices` selects and checks the columns, `cut` divides them into train, dev
and test, and `file_data` combines these.
"""

from nmlab.data.files.cut import Scaling
from nmlab.data.files.file_data import FileData, from_file
from nmlab.data.files.formats import SUFFIXES
from nmlab.data.files.tables import TIMES

__all__ = ["SUFFIXES", "TIMES", "FileData", "Scaling", "from_file"]
