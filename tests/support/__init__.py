"""What several tests build on: numbers, formulas and strategies that share no code with the package."""
