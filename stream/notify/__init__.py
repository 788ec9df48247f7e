"""Who is told what and when: silences, routes, groups, delivery."""
