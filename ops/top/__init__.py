"""`fleet top`: the fleet in a terminal. Pure state and views; `app` is the loop, `terminal` the only one to touch a TTY."""
