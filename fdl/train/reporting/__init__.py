"""The HTML report of training runs: its page, its charts, its sections."""
