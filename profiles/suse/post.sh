#!/bin/sh
# Runs in the installer once the system is installed: below /mnt, of Agama where hold.sh holds it. Whatever
# fails here is reported.
cd "${FARRIER_DIR:-/run/farrier}" || exit 1
FARRIER_DIR=$PWD
. ./farrier.env
. ./report.sh

target=${FARRIER_TARGET:-/mnt}
log=watch.log

finish() {
    set -e
    farrier_progress configure
    sh ./system.sh "$target"

    if [ "$BOOT_ORDER" = network ] && [ -d "${FARRIER_SYS:-/sys}/firmware/efi" ]; then
        . ./boot-order.sh
        farrier_network_first chroot "$target" efibootmgr
    fi

    farrier_progress handoff
    farrier_get first-boot.sh first-boot.sh
    sh first-boot.sh "$target"
    rm -f first-boot.sh
    # where SELinux is on: these files were made outside of the installed system and have no labels
    if [ -e "$target/etc/selinux/config" ] && [ -x "$target/usr/sbin/restorecon" ]; then
        chroot "$target" restorecon -i -R /usr/lib/farrier /var/lib/farrier /etc/systemd/system \
            /etc/sudoers.d /etc/zypp /etc/chrony.d /root /home
    fi
}

# in a shell of its own, where set -e holds: a list with || would switch it off
(finish) >post.log 2>&1
code=$?
if [ "$ENCRYPT" != none ]; then
    # the key, where an installer logged it, is not sent, nor left in the installed system
    # shellcheck disable=SC2086 # a list of files
    sed -i 's/farrier-key-[0-9a-f]*/(key)/g' $FARRIER_LOGS "$log" 2>/dev/null
    find "$target/var/log/YaST2" "$target/var/log/agama-installation" "$target/var/adm/autoinstall" -type f \
        -exec sed -i 's/farrier-key-[0-9a-f]*/(key)/g' {} + 2>/dev/null
    # Agama packs its logs, and what is packed cannot be written over
    rm -f "$target"/var/log/agama-installation/*.tar.*
fi
cat post.log
touch stop
if [ "$code" != 0 ]; then
    farrier_fail configure post.log "post.sh ended with code $code"
    farrier_leave
    exit 1
fi
cat "$log" post.log >both 2>/dev/null
farrier_scrub "$target"/var/log/YaST2/* "$target"/var/log/agama-installation/*
farrier_tail both >end
farrier_post end end || echo "Farrier: the end could not be reported (HTTP status $farrier_status)"
exit 0
