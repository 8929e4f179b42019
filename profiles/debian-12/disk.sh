#!/bin/sh
# partman/early_command: reports the disks and asks which one may be written. Until the server has
# named one, nothing is written; if it names none, the machine is restarted rather than left at a
# question that nobody sees.
cd /tmp/farrier || exit 1
. ./farrier.env
. ./report.sh

udevadm settle --timeout=30 || true
if farrier_permit; then
    debconf-set partman-auto/disk "$farrier_disk"
    debconf-set grub-installer/bootdev "$farrier_disk"
    # partman asks before it replaces what lvm and md hold; let go of it first
    vgchange -an >/dev/null 2>&1 || true
    echo "$farrier_disk" >permitted
    farrier_progress partition "$farrier_disk"
    exit 0
fi
farrier_fail partition /var/log/syslog "$farrier_reason"
farrier_leave
