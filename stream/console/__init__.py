"""The web console: pages, their API, and who may use them."""
