"""Many transfers at once: a list of them, workers that keep bases in memory, one output place.

Each transfer is an ordinary run folder on its worker's own disk, copied to the output place as
it goes. Beside every copy lies ``standing.json``: how it stands. Tables are made from these.
"""
