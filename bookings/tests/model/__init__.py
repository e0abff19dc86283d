"""docs/api.md once more, in memory: a second opinion on what Ticks answers.

Nothing here knows the code that it judges: plain lists and sums, no lock, no counter, no database. Each
request is a function of a `World` that changes it and says what must be answered, or raises `Refused`
before it has changed anything.
"""
