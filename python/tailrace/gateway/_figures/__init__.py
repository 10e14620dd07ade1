"""What is counted while the gateway runs, and where it is shown."""
