#!/bin/sh
# prepare.sh ANSWERS-FILE: says that the installer runs, asks which disk may be written, and fills in what
# depends on the machine. Nothing is written to a disk before the server has named it; if it names none,
# the machine is restarted.
cd "${FARRIER_DIR:-/run/farrier}" || exit 1
FARRIER_DIR=$PWD
. ./farrier.env
. ./report.sh
umask 077

{
    echo "$INSTALLER, kernel $(uname -r)"
    dmesg 2>/dev/null | grep -i 'secure boot' | tail -n 1
} >start
farrier_post start start || echo "Farrier: the start could not be reported (HTTP status $farrier_status)"

udevadm settle --timeout=30 || true
if ! { farrier_permit && farrier_opener; } >prepare.log 2>&1; then
    farrier_fail partition prepare.log "$farrier_reason"
    farrier_leave
    exit 1
fi
echo "$farrier_disk" >permitted
echo "${farrier_second:-}" >second

# A key that this machine makes up opens the encrypted disk until system.sh has bound it to the TPM. It is
# never sent anywhere, and known by its beginning, where an installer should have logged it.
key=
if [ "$ENCRYPT" != none ]; then
    farrier_key passphrase
    key=farrier-key-$(cat passphrase)
    printf '%s' "$key" >passphrase
fi
if [ -d "${FARRIER_SYS:-/sys}/firmware/efi" ]; then
    mine=UEFI other=BIOS
else
    mine=BIOS other=UEFI
fi
# Of the names that a product has had, the one that this medium knows it by.
product=${PRODUCTS%% *}
for name in $PRODUCTS; do
    if grep -qsx "id: *[\"']\{0,1\}${name}[\"']\{0,1\} *" "${FARRIER_PRODUCTS:-/usr/share/agama/products.d}"/*.yaml; then
        product=$name
        break
    fi
done
sed -e "/^ *<!--$other-->/d" -e "s/<!--$mine-->//" -e "s,@DISK1@,$farrier_disk,g" \
    -e "s,@DISK2@,$farrier_second,g" -e "s/@PASSPHRASE@/$key/" -e "s/@PRODUCT@/$product/" "$1" >filled

# The kernel's names for interfaces, by their own addresses, which members of a bond have not.
for link in "${FARRIER_SYS:-/sys}"/class/net/*; do
    name=${link##*/}
    case $name in
        lo | '*') continue ;;
    esac
    mac=$(ethtool -P "$name" 2>/dev/null | sed -n 's/^Permanent address: *//p')
    case $mac in
        '' | 00:00:00:00:00:00) mac=$(cat "$link/address" 2>/dev/null || true) ;;
    esac
    [ -z "$mac" ] || sed -i "s/NIC-$mac/$name/g" filled
done
if grep -o 'NIC-[0-9a-f:]*' filled >missing; then
    farrier_fail setup prepare.log "no interface of this machine has the address $(sed -n '1s/^NIC-//p' missing)"
    farrier_leave
    exit 1
fi

farrier_progress partition "$farrier_disk${farrier_second:+ $farrier_second}"
case $INSTALLER in
    agama)
        # in a unit of its own: what is left of Agama's is killed when its main process ends
        if ! systemd-run --unit=farrier-watch --collect --working-directory="$FARRIER_DIR" \
            sh -c 'exec sh ./watch.sh </dev/null >watch.log 2>&1' >>prepare.log 2>&1; then
            farrier_fail setup prepare.log "what watches the installer could not be started"
            farrier_leave
            exit 1
        fi
        ;;
    *) setsid sh ./watch.sh </dev/null >watch.log 2>&1 & ;;
esac
exit 0
