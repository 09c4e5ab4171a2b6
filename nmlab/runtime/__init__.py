"""What a fit asks of its process: to be steered, a thread, its output, random numbers, pyplot, memory, files.

Imports `errors`.
"""
