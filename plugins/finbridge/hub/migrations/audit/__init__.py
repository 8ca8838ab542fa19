"""The statements of the third revision, by concern: tamper evidence."""
