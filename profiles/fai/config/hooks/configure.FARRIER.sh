# Sourced before task configure.
farrier_progress configure
