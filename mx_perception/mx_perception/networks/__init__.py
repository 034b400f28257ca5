"""The networks, in torch: for training and export. The running graph needs none of this."""
