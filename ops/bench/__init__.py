"""`fleet bench`: the same work every time, measured from outside the code that does it."""
