"""Who is told what and when: routes, groups, delivery."""
