"""What a keeper decides: continuity, epochs, what is safe, how segments look. Pure."""
