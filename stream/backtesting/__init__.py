"""What rules and routes would have done with what was scored, or with what an author imagines."""
