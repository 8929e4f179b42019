# Sourced before the base system is brought up to date. Without packages to add, the base in the boot
# tree is the system: no package index is fetched, and FAI's own task is left out but for its mounts.
if ! ifclass FARRIER_PACKAGES; then
    mount -t proc proc "$target/proc"
    mount -t sysfs sysfs "$target/sys"
    if [ -d /sys/firmware/efi ]; then
        mount -t efivarfs none "$target/sys/firmware/efi/efivars"
    fi
    mount --bind /dev "$target/dev"
    mount --make-private "$target/dev"
    mount -t devpts devpts "$target/dev/pts"
    mkdir -p "$target/run/udev"
    mount --bind /run/udev "$target/run/udev"
    printf '#!/bin/sh\nexit 101\n' >"$target/usr/sbin/policy-rc.d"
    chmod 755 "$target/usr/sbin/policy-rc.d"
    skiptask updatebase instsoft
fi
