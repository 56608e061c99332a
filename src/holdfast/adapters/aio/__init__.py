"""aiohttp lives here: `calls` speaks to nodes, `control` serves the control room."""
