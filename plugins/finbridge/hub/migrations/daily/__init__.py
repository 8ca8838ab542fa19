"""The statements of the second revision, by concern: daily use."""
