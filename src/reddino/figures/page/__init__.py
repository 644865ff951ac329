"""Self-contained pages: style, scripts and the parts that a page is put together from."""
