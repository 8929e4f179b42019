#!/bin/sh
# UEFI: whatever the firmware calls a network comes first in its boot order. An installer puts the
# system it installed there, and then the machine would never ask again whether it is to be rebuilt.
# Farrier answers "own disk" at every boot unless a rebuild was ordered, and where no server answers,
# the firmware goes on to the disk by itself.

# farrier_network_first COMMAND..: how efibootmgr is run here. Fails if the firmware refuses.
farrier_network_first() {
    entries=$("$@") || return 1
    old=$(printf '%s\n' "$entries" | sed -n 's/^BootOrder: *//p')
    first='' rest=''
    for entry in $(printf '%s' "$old" | tr , ' '); do
        if printf '%s\n' "$entries" | grep -i "^Boot$entry" |
            grep -qi -e pxe -e http -e network -e ipv4 -e '[^a-z]nic[^a-z]'; then
            first="$first,$entry"
        else
            rest="$rest,$entry"
        fi
    done
    if [ -z "$first" ]; then
        echo "The firmware's boot order has no network in it; a rebuild must be started at its menu."
        return 0
    fi
    new=$first$rest
    new=${new#,}
    [ "$new" = "$old" ] || "$@" --quiet --bootorder "$new"
}
