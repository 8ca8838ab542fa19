"""The proof: documents live their lives while everything around them is killed and disturbed; then a checker looks."""
