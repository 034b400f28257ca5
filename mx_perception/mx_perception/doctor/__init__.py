"""What `./mx doctor` looks at: this machine, and the graph that runs on it."""
