"""The cells of a table that are most like a query: exact search, an index of faiss past a size, and pages."""
