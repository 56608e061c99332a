"""What is learned from chains: for now the linear rung; the sequence network joins it here."""
