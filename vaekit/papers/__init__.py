"""One file a paper: its architectures by their names, its settings, and its reported tables as data."""
