"""From a recipe to a trained bundle."""
