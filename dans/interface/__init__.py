"""What ``import dans`` offers: training in one call, trained runs, and the plan behind both."""
