#!/bin/sh
# UEFI: the network comes first in the boot order. An installer puts the system it installed there, and
# then the machine would never ask again whether it is to be rebuilt. Farrier answers "own disk" at
# every boot unless a rebuild was ordered, and where no server answers, the firmware goes on to the
# disk by itself. It is the entry that this installer was started by, which works; only where that is
# not known is it all that the firmware calls a network, and each may be waited for at every boot.

# farrier_network_first COMMAND..: how efibootmgr is run here. Fails if the firmware refuses.
farrier_network_first() {
    entries=$("$@") || return 1
    old=$(printf '%s\n' "$entries" | sed -n 's/^BootOrder: *//p')
    current=$(printf '%s\n' "$entries" | sed -n 's/^BootCurrent: *//p')
    network=''
    for entry in $(printf '%s' "$old" | tr , ' '); do
        if printf '%s\n' "$entries" | grep -i "^Boot$entry" |
            grep -qi -e pxe -e http -e network -e ipv4 -e '[^a-z]nic[^a-z]'; then
            network="$network $entry"
        fi
    done
    case "$network " in
        *" $current "*) network=" $current" ;;
    esac
    first='' rest=''
    for entry in $(printf '%s' "$old" | tr , ' '); do
        case "$network " in
            *" $entry "*) first="$first,$entry" ;;
            *) rest="$rest,$entry" ;;
        esac
    done
    if [ -z "$first" ]; then
        echo "The firmware's boot order has no network in it; a rebuild must be started at its menu."
        return 0
    fi
    new=$first$rest
    new=${new#,}
    [ "$new" = "$old" ] || "$@" --quiet --bootorder "$new"
}
