"""What a fit needs from its process: control, a thread, captured output, random numbers, pyplot, memory, files.

Imports `errors`.
"""
