# Sourced before task instsoft.
farrier_progress packages
