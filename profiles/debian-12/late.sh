#!/bin/sh
# preseed/late_command: the system is installed below /target. Whatever fails here is reported; the
# dialog that a failed command would raise waits for ever.
cd /tmp/farrier || exit 1
. ./farrier.env
. ./report.sh

target=${FARRIER_TARGET:-/target}
log=${FARRIER_LOG:-/var/log/syslog}

finish() {
    set -e
    farrier_progress configure

    # root comes in with these keys; its password stays locked
    farrier_get authorized_keys authorized_keys
    if [ -s authorized_keys ]; then
        mkdir -p "$target/root/.ssh"
        chmod 0700 "$target/root/.ssh"
        cp authorized_keys "$target/root/.ssh/authorized_keys"
        chmod 0600 "$target/root/.ssh/authorized_keys"
    fi

    # The interface in use now, by the name the kernel has for it, which the installed system shares.
    interface=$(ip route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    [ -n "$interface" ] || interface=$(ip -o link show up 2>/dev/null | sed -n 's/^[0-9]*: \([^:@ ]*\).*/\1/p' | grep -v '^lo$' | head -n 1)
    if [ "$STATIC" = true ] && [ -n "$interface" ]; then
        farrier_get interfaces interfaces
        sed "s/INTERFACE/$interface/g" interfaces >"$target/etc/network/interfaces"
        cp /etc/resolv.conf "$target/etc/resolv.conf"
    fi

    if [ -n "$SECURITY" ]; then
        echo "deb $SECURITY $SUITE-security main" >"$target/etc/apt/sources.list.d/security.list"
    fi

    if [ "$BOOT_ORDER" = network ] && [ -d /sys/firmware/efi ]; then
        variables=$target/sys/firmware/efi/efivars
        grep -q " $variables " /proc/mounts || mount -t efivarfs efivarfs "$variables"
        farrier_get boot-order.sh boot-order.sh
        . ./boot-order.sh
        farrier_network_first chroot "$target" efibootmgr
    fi

    farrier_progress handoff
    farrier_get first-boot.sh first-boot.sh
    sh first-boot.sh "$target"
    rm -f first-boot.sh
}

# in a shell of its own, where set -e holds: a list with || would switch it off
(finish) >late.log 2>&1
code=$?
logger -t farrier -f late.log 2>/dev/null || cat late.log
touch stop
if [ "$code" != 0 ]; then
    cat "$log" late.log >both 2>/dev/null
    farrier_fail configure both "late.sh ended with code $code"
    farrier_leave
fi
farrier_scrub "$target"/var/log/installer/*
farrier_tail "$log" >end
farrier_post end end || echo "Farrier: the end could not be reported (HTTP status $farrier_status)"
exit 0
