"""The live page of `./mx view`: its data, its server, and `view.html` in the data folder."""
