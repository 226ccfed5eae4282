"""One module per stage of a run: reads what the run has, calls the stage, stores what it made.

A step is a generator of events; closing it is how it is cancelled. It works off what is still
owed, in units that are committed whole, so an interrupted run ends where an uninterrupted one does.
"""
