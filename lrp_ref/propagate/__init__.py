"""From a model, rules and an input to an `Explanation`: where relevance starts, in which steps it goes, what arrives."""
