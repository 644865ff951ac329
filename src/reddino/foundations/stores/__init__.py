"""Objects of stores (s3, gs, http) where files of this machine are meant otherwise."""
