"""The page for whoever runs the server: who is here, what goes on, and how to end it."""
