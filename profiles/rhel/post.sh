#!/bin/sh
# The last %post, outside of the installed system. Whatever fails here is reported.
cd "${FARRIER_DIR:-/tmp/farrier}" || exit 1
. ./farrier.env
. ./report.sh

target=${FARRIER_TARGET:-}
for tried in /mnt/sysroot /mnt/sysimage; do
    [ -n "$target" ] || [ ! -d "$tried/etc" ] || target=$tried
done
log=${FARRIER_LOG_DIR:-/tmp}/anaconda.log

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

    # These files were made outside of the installed system and have no labels.
    if [ -x "$target/usr/sbin/restorecon" ] || [ -x "$target/sbin/restorecon" ]; then
        chroot "$target" restorecon -i -R /usr/lib/farrier /var/lib/farrier /etc/systemd/system \
            /etc/sudoers.d /etc/yum.repos.d /etc/pki/rpm-gpg
    fi
}

# in a shell of its own, where set -e holds: a list with || would switch it off
(finish) >post.log 2>&1
code=$?
cat post.log
touch stop
if [ "$code" != 0 ]; then
    cat "$log" post.log >both 2>/dev/null
    farrier_fail configure both "post.sh ended with code $code"
    farrier_leave
    exit 1
fi
rm -f passphrase storage.ks
farrier_scrub "${FARRIER_LOG_DIR:-/tmp}"/*.log "$target"/var/log/anaconda/*
farrier_tail "$log" >end
farrier_post end end || echo "Farrier: the end could not be reported (HTTP status $farrier_status)"
exit 0
