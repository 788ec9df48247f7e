"""Which model scores: the champion followed and swapped, a challenger in its shadow."""
