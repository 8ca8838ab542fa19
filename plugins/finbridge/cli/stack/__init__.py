"""Starting and stopping what the suite runs on: database servers and processes, without docker."""
