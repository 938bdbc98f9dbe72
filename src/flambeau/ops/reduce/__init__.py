"""Many elements to few: sums, statistics, order, counts, and what accumulates."""
