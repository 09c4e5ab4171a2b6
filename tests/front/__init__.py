"""Types, rules and unit tests of the bench in the browser, with Node: `python -m tests.front`."""
