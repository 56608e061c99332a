"""The deciding floor: pure, deterministic; no I/O, clock or chance. Third-party imports: msgspec and numpy only."""
