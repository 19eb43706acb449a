"""What a person reads: tables and progress on the terminal."""
