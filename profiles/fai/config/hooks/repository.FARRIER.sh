# Sourced before task repository, which leaves the installer's resolver where this link points.
mkdir -p "$target/run/systemd/resolve"
