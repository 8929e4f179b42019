# Sourced before task extrbase.
farrier_progress extract
