"""What rules and routes would have done with what was scored already."""
