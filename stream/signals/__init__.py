"""Windows of what lately happened around a subject, and what rules read of them."""
