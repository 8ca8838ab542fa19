"""The statements of the first revision, by concern, in the order in which they run."""
