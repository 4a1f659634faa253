"""What a question is, and how an answer is judged: by arrays alone. Nothing here knows of processes."""
