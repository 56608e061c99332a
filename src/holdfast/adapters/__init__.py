"""The acting floor's hands: each third-party I/O library is imported by exactly one module here."""
