"""What makes two Problems, or two data functions, the same, and their differences in words.

Imports `sources`, `problem`.
"""
