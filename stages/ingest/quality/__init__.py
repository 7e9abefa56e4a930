"""What a person should know about the data: copies, expectations, the quality page."""
