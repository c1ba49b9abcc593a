"""The command line: `pointsman`."""
