#!/bin/sh
# The last of finish-install's parts that finds the system below /target (early.sh). Whatever fails here
# is reported, and the machine restarted.
cd /tmp/farrier || exit 1
. ./farrier.env
. ./report.sh

target=${FARRIER_TARGET:-/target}
log=${FARRIER_LOG:-/var/log/syslog}

# What the installed system's own programs ask the kernel (efibootmgr, cryptsetup, update-initramfs). The
# installer has the like there only while one of its own commands runs (chroot-setup.sh).
inside() {
    mkdir -p "$target/proc" "$target/sys" "$target/run"
    [ -e "$target/proc/cmdline" ] || mount -t proc proc "$target/proc"
    [ -e "$target/sys/devices" ] || mount -t sysfs sysfs "$target/sys"
    mount -o bind /run "$target/run"
    variables=$target/sys/firmware/efi/efivars
    if [ -d /sys/firmware/efi ] && ! grep -q " $variables " /proc/mounts; then
        mount -t efivarfs efivarfs "$variables"
    fi
}

# second_esp DISK: a mirror has an ESP on each disk; the second is made a copy, and is kept one.
second_esp() {
    for part in "/sys/block/${1#/dev/}"/*/partition; do
        node=${part%/partition}
        node=/dev/${node##*/}
        case $(blkid -p -o value -s PART_ENTRY_TYPE "$node" 2>/dev/null) in
            c12a7328-*) break ;;
        esac
        node=
    done
    [ -n "$node" ] || { echo "$1 has no EFI system partition" && return 1; }
    mkdir -p "$target/boot/efi2"
    echo "UUID=$(blkid -p -o value -s UUID "$node") /boot/efi2 vfat umask=0077,nofail 0 1" >>"$target/etc/fstab"
    sed -i 's,\( /boot/efi *vfat *umask=0077\) ,\1\,nofail ,' "$target/etc/fstab"
    mount -t vfat "$node" "$target/boot/efi2"
    cp -r "$target/boot/efi/EFI" "$target/boot/efi2/"
    umount "$target/boot/efi2"
    loader=grubx64.efi
    [ ! -s "$target/boot/efi/EFI/debian/shimx64.efi" ] || loader=shimx64.efi
    chroot "$target" efibootmgr --quiet --create --disk "$1" --part "$(cat "$part")" --label debian --loader "\\EFI\\debian\\$loader"
    echo 'DPkg::Post-Invoke { "! mountpoint -q /boot/efi2 || ! mountpoint -q /boot/efi || cp -ru /boot/efi/EFI /boot/efi2/"; };' \
        >"$target/etc/apt/apt.conf.d/80farrier-second-esp"
}

finish() {
    set -e
    farrier_progress configure
    inside

    # root comes in with these keys; its password stays locked
    farrier_get authorized_keys authorized_keys
    if [ -s authorized_keys ]; then
        mkdir -p "$target/root/.ssh"
        chmod 0700 "$target/root/.ssh"
        cp authorized_keys "$target/root/.ssh/authorized_keys"
        chmod 0600 "$target/root/.ssh/authorized_keys"
    fi

    sh ./users.sh "$target"

    if [ "$NETWORK" = own ]; then
        farrier_get interfaces interfaces
        # The installed system has the kernel's names for interfaces that this one has.
        for link in "${FARRIER_SYS:-/sys}"/class/net/*; do
            mac=$(cat "$link/address" 2>/dev/null || true)
            [ -z "$mac" ] || sed -i "s/NIC-$mac/${link##*/}/g" interfaces
        done
        if grep -o 'NIC-[0-9a-f:]*' interfaces; then
            echo "no interface of this machine has that address"
            return 1
        fi
        cp interfaces "$target/etc/network/interfaces"
        cp /etc/resolv.conf "$target/etc/resolv.conf"
    fi
    if [ "$IPV6" = off ]; then
        # No address is taken from router advertisements.
        mkdir -p "$target/etc/sysctl.d"
        echo 'net.ipv6.conf.*.accept_ra = 0' >"$target/etc/sysctl.d/60-farrier-ipv6.conf"
    fi

    sh ./repositories.sh "$target"

    if [ "$ENCRYPT" != none ]; then
        sh ./unlock.sh "$target" key
        # the installer has forgotten it, unless something went otherwise than it should
        debconf-set partman-crypto/passphrase ''
        debconf-set partman-crypto/passphrase-again ''
    fi

    second=$(cat second 2>/dev/null || true)
    if [ -n "$second" ] && [ -d /sys/firmware/efi ]; then
        second_esp "$second"
    fi

    # a cache of it that this server has not would make every later update of the lists fail
    if [ "$SECURITY_ASSUMED" = yes ] && ! wget --quiet --tries=3 --timeout=20 --output-document=/dev/null "$SECURITY/dists/$SUITE-security/InRelease"; then
        echo "this server has no cache of the security archive ($SECURITY), so the system gets no source of it: declare the mirror, or name a URL in vars.security"
        SECURITY=
    fi
    if [ -n "$SECURITY" ]; then
        mkdir -p "$target/etc/apt/sources.list.d"
        echo "deb $SECURITY $SUITE-security main" >"$target/etc/apt/sources.list.d/security.list"
    fi

    if [ "$BOOT_ORDER" = network ] && [ -d /sys/firmware/efi ]; then
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
for at in sys/firmware/efi/efivars run sys proc; do
    umount "$target/$at" 2>/dev/null
done
logger -t farrier -f late.log 2>/dev/null || cat late.log
touch stop
if [ "$code" != 0 ]; then
    cat "$log" late.log >both 2>/dev/null
    farrier_fail configure both "late.sh ended with code $code"
    farrier_leave
fi
# these are copies: the addresses of this build are not left on the disk
farrier_scrub "$target"/var/log/installer/* "$target"/var/log/installer/cdebconf/*
farrier_tail "$log" >end
farrier_post end end || echo "Farrier: the end could not be reported (HTTP status $farrier_status)"
exit 0
