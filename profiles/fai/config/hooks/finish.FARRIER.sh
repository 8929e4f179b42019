# Sourced before task finish: services may start again from here on.
rm -f "$target/usr/sbin/policy-rc.d"
