"""Models of others that are optional: what there is, fetched once and compared with its hash, and cleared again."""
