# Sourced before task debconf: nothing is preseeded.
skiptask debconf
