"""Reading the web as a guest: checked addresses, bounds on time and size, robots.txt, budgets, encodings."""
