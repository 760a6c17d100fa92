"""Training steps in fdl and in its peers: the same networks, sizes, precision and optimizer, measured side by side."""
